"""Section `model`: which family of models."""

from typing import Literal

from galgame_asr.params import section


@section
class ModelParams:
    """The family decides the code that builds, trains, decodes and saves a model."""

    family: Literal["fun_asr_nano", "whisper"]
