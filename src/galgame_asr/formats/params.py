"""Section `export`: checkpoints in the formats of other runtimes, by name: models/export/NAME."""

from typing import Annotated

from pydantic import Field

from galgame_asr.formats.capswriter.params import CapsWriterExport
from galgame_asr.formats.ctranslate2.params import CTranslate2Export
from galgame_asr.formats.funasr.params import FunasrExport
from galgame_asr.formats.gguf.params import GgufExport
from galgame_asr.formats.sherpa.params import SherpaExport

Entry = Annotated[
    CTranslate2Export | SherpaExport | GgufExport | FunasrExport | CapsWriterExport,
    Field(discriminator="format"),
]
Exports = dict[str, Entry]
