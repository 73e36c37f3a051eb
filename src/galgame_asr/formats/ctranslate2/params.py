"""What an entry of format `ctranslate2` of section `export` may say."""

from typing import Literal

from galgame_asr.core.params import section
from galgame_asr.formats.common.params import Checkpoint, VerifyParams


@section
class CTranslate2Export:
    """A Whisper for CTranslate2 and what is built on it, such as faster-whisper."""

    format: Literal["ctranslate2"]
    checkpoint: Checkpoint
    # Of the weights. Where a device has no float16, they run as float32.
    precision: Literal["float32", "float16", "int8"]
    verify: VerifyParams


Entry = CTranslate2Export
