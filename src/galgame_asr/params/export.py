"""Section `export`: checkpoints in the formats of other runtimes, by name: models/export/NAME."""

from typing import Annotated, Literal

from pydantic import Field

from galgame_asr.params import section

# What to export: base, PHASE/pNN or an averaged model.
Checkpoint = Annotated[str, Field(min_length=1)]


@section
class VerifyParams:
    """How an export shows that it says what its checkpoint says."""

    # Rows of the test set that both transcribe, and the prompt for them.
    utterances: Annotated[int, Field(ge=1)]
    prompt: str
    # Share of equal texts below which the stage fails, where the checkpoint hears through
    # the runtime's front end: 1.0 for float32; quantised models differ now and then.
    min_equal: Annotated[float, Field(ge=0, le=1)]
    # Points of CER that the export may lose against the same.
    max_cer_rise: Annotated[float, Field(ge=0)]


@section
class TensorVerifyParams(VerifyParams):
    """The same, and how near its tensors are, of formats whose files can be read back."""

    # The largest difference allowed, as a share of the largest value of the same tensor.
    max_difference: Annotated[float, Field(ge=0)]


@section
class CTranslate2Export:
    """A Whisper for CTranslate2 and what is built on it, such as faster-whisper."""

    format: Literal["ctranslate2"]
    checkpoint: Checkpoint
    # Of the weights. Where a device has no float16, they run as float32.
    precision: Literal["float32", "float16", "int8"]
    verify: VerifyParams


@section
class SherpaExport:
    """A Fun-ASR-Nano for sherpa-onnx."""

    format: Literal["sherpa"]
    checkpoint: Checkpoint
    # int8: weights as unsigned bytes, which give the same on every CPU.
    precision: Literal["float32", "int8"]
    verify: TensorVerifyParams


@section
class GgufExport:
    """A Fun-ASR-Nano for FunASR's llama.cpp runtime."""

    format: Literal["gguf"]
    checkpoint: Checkpoint
    # Of matrices; vectors are float32.
    precision: Literal["float32", "float16", "q8_0"]
    verify: TensorVerifyParams


@section
class FunasrExport:
    """A Fun-ASR-Nano for `funasr.AutoModel`, as it is published."""

    format: Literal["funasr"]
    checkpoint: Checkpoint
    precision: Literal["float32", "bfloat16"]
    verify: TensorVerifyParams


@section
class CapsWriterExport:
    """A Fun-ASR-Nano with a trained CTC branch for CapsWriter-Offline 2.3 and newer."""

    format: Literal["capswriter"]
    checkpoint: Checkpoint
    # Of the two graphs and of the language model's matrices.
    precision: Literal["float32", "float16", "q8_0"]
    verify: TensorVerifyParams


Export = Annotated[
    CTranslate2Export | SherpaExport | GgufExport | FunasrExport | CapsWriterExport,
    Field(discriminator="format"),
]
Exports = dict[str, Export]
