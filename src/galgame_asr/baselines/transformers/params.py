"""What an entry of kind `transformers` of section `baselines` may say."""

from dataclasses import field
from typing import Literal

from galgame_asr.baselines.common.params import Files, Prompts, Search
from galgame_asr.core.params import section
from galgame_asr.families.common.params import Prompt


@section
class TransformersModel:
    """A Whisper or a Qwen3-ASR in transformers' layout."""

    kind: Literal["transformers"]
    model: Files
    # Whisper: language is ja or japanese; Qwen3-ASR: hotwords are its context.
    prompts: Prompts = field(default_factory=lambda: {"none": Prompt()})
    search: Search = field(default_factory=Search)


Entry = TransformersModel
