"""What an entry of kind `funasr` of section `baselines` may say."""

from dataclasses import field
from typing import Literal

from galgame_asr.baselines.common.params import Files, Prompts, Search
from galgame_asr.core.params import section
from galgame_asr.families.common.params import Prompt


@section
class FunasrModel:
    """A model directory in FunASR's layout: SenseVoice, Paraformer, Fun-ASR-Nano and its like."""

    kind: Literal["funasr"]
    model: Files
    # Others of `AutoModel.generate` than the prompts say; none for Fun-ASR-Nano.
    arguments: dict[str, str | int | float | bool] = field(default_factory=dict)
    # SenseVoice: language (ja) and itn; Fun-ASR-Nano: language (日文), hotwords and itn.
    prompts: Prompts = field(default_factory=lambda: {"none": Prompt()})
    # Of Fun-ASR-Nano alone.
    search: Search = field(default_factory=Search)


Entry = FunasrModel
