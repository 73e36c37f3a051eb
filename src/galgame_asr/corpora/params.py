"""Section `corpora`: the corpora of this run, by name."""

from typing import Annotated

from pydantic import Field

from galgame_asr.corpora.aishell.params import Aishell
from galgame_asr.corpora.folder.params import Folder
from galgame_asr.corpora.galgame.params import Galgame
from galgame_asr.corpora.hub_dataset.params import HubDataset
from galgame_asr.corpora.reazonspeech.params import ReazonSpeech
from galgame_asr.corpora.recordings.params import Recordings
from galgame_asr.corpora.synthetic.params import Synthetic

Entry = Annotated[
    Synthetic | Galgame | ReazonSpeech | HubDataset | Aishell | Folder | Recordings,
    Field(discriminator="kind"),
]
Corpora = Annotated[dict[str, Entry], Field(min_length=1)]
