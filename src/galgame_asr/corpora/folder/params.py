"""What an entry of kind `folder` of section `corpora` may say."""

from typing import Literal

from galgame_asr.core.params import section
from galgame_asr.corpora.common.types import ShardSize


@section
class Folder:
    """The user's own recordings.

    `path` is one of: a folder of audio files, each with a .txt of the same stem
    beside it; a .tsv or .jsonl file with columns audio and text; a folder with
    Kaldi's wav.scp and text.
    """

    kind: Literal["folder"]
    path: str
    shard_size: ShardSize


Entry = Folder
