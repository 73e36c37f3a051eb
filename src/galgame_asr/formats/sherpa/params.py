"""What an entry of format `sherpa` of section `export` may say."""

from typing import Literal

from galgame_asr.core.params import section
from galgame_asr.formats.common.params import Checkpoint, TensorVerifyParams


@section
class SherpaExport:
    """A Fun-ASR-Nano for sherpa-onnx."""

    format: Literal["sherpa"]
    checkpoint: Checkpoint
    # int8: weights as unsigned bytes, which give the same on every CPU.
    precision: Literal["float32", "int8"]
    verify: TensorVerifyParams


Entry = SherpaExport
