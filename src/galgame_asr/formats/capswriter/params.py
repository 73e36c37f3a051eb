"""What an entry of format `capswriter` of section `export` may say."""

from typing import Literal

from galgame_asr.core.params import section
from galgame_asr.formats.common.params import Checkpoint, TensorVerifyParams


@section
class CapsWriterExport:
    """A Fun-ASR-Nano with a trained CTC branch for CapsWriter-Offline 2.3 and newer."""

    format: Literal["capswriter"]
    checkpoint: Checkpoint
    # Of the two graphs and of the language model's matrices.
    precision: Literal["float32", "float16", "q8_0"]
    verify: TensorVerifyParams


Entry = CapsWriterExport
