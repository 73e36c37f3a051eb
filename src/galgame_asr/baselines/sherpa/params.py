"""What an entry of kind `sherpa` of section `baselines` may say."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from galgame_asr.baselines.common.params import Files, Prompts
from galgame_asr.core.params import section
from galgame_asr.families.common.params import Prompt


@section
class SherpaModel:
    """A model for an offline recogniser of sherpa-onnx."""

    kind: Literal["sherpa"]
    model: Files
    # NAME of sherpa_onnx.OfflineRecognizer.from_NAME, such as sense_voice or transducer.
    recognizer: str
    # By argument of it, which file of the model: {tokens: tokens.txt, encoder: encoder.onnx}.
    files: dict[str, str]
    # Others of its arguments, such as decoding_method.
    arguments: dict[str, str | int | float | bool] = field(default_factory=dict)
    # Silence before and after each utterance, which some models are made for.
    padding_s: Annotated[float, Field(ge=0)] = 0.0
    # language and itn, where the recogniser takes them.
    prompts: Prompts = field(default_factory=lambda: {"none": Prompt()})


Entry = SherpaModel
