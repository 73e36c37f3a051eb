"""Section `export`: checkpoints in the formats of other runtimes, by name: models/export/NAME."""

from typing import Annotated, Literal

from pydantic import Field

from galgame_asr.params import section


@section
class VerifyParams:
    """How an export shows that it says what its checkpoint says."""

    # Rows of the test set that both transcribe, and the prompt for them.
    utterances: Annotated[int, Field(ge=1)]
    prompt: str
    # Share of equal texts below which the stage fails: 1.0 for float32; quantised
    # models differ now and then.
    min_equal: Annotated[float, Field(ge=0, le=1)]


@section
class CTranslate2Export:
    """A Whisper for CTranslate2 and what is built on it, such as faster-whisper."""

    format: Literal["ctranslate2"]
    # What to export: base, PHASE/pNN or an averaged model.
    checkpoint: str
    # Of the weights. Where a device has no float16, they run as float32.
    precision: Literal["float32", "float16", "int8"]
    verify: VerifyParams


Export = CTranslate2Export
Exports = dict[str, Export]
