"""What of section `score` makes texts comparable."""

from typing import Literal

from galgame_asr.core.params import section


@section
class NormaliseParams:
    """What of the spelling is made equal before characters are compared."""

    # Write what 々, ゝ and ゞ repeat: 時々 as 時時, いすゞ as いすず.
    iteration_marks: bool = True
    # Runs of ー, wave dashes among them: keep them, or collapse each to one.
    elongation: Literal["keep", "collapse"] = "keep"
