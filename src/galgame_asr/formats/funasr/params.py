"""What an entry of format `funasr` of section `export` may say."""

from typing import Literal

from galgame_asr.core.params import section
from galgame_asr.formats.common.params import Checkpoint, TensorVerifyParams


@section
class FunasrExport:
    """A Fun-ASR-Nano for `funasr.AutoModel`, as it is published."""

    format: Literal["funasr"]
    checkpoint: Checkpoint
    precision: Literal["float32", "bfloat16"]
    verify: TensorVerifyParams


Entry = FunasrExport
