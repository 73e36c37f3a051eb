"""Section `baselines`: other people's models and transcripts, by name."""

from typing import Annotated

from pydantic import Field

from galgame_asr.baselines.faster_whisper.params import FasterWhisperModel
from galgame_asr.baselines.funasr.params import FunasrModel
from galgame_asr.baselines.sherpa.params import SherpaModel
from galgame_asr.baselines.transcripts.params import TranscriptsFile
from galgame_asr.baselines.transformers.params import TransformersModel

Entry = Annotated[
    TransformersModel | FasterWhisperModel | SherpaModel | FunasrModel | TranscriptsFile,
    Field(discriminator="kind"),
]
Baselines = dict[str, Entry]
