"""What an entry of kind `faster_whisper` of section `baselines` may say."""

from dataclasses import field
from typing import Literal

from galgame_asr.baselines.common.params import Files, Prompts, Search
from galgame_asr.core.params import section
from galgame_asr.families.common.params import Prompt


@section
class FasterWhisperModel:
    """A Whisper in the format of CTranslate2."""

    kind: Literal["faster_whisper"]
    model: Files
    prompts: Prompts = field(default_factory=lambda: {"none": Prompt()})
    search: Search = field(default_factory=Search)


Entry = FasterWhisperModel
