"""What an entry of format `gguf` of section `export` may say."""

from typing import Literal

from galgame_asr.core.params import section
from galgame_asr.formats.common.params import Checkpoint, TensorVerifyParams


@section
class GgufExport:
    """A Fun-ASR-Nano for FunASR's llama.cpp runtime."""

    format: Literal["gguf"]
    checkpoint: Checkpoint
    # Of matrices; vectors are float32.
    precision: Literal["float32", "float16", "q8_0"]
    verify: TensorVerifyParams


Entry = GgufExport
