"""What an entry of kind `folder` of section `corpora` may say."""

from typing import Literal

from pydantic import model_validator

from galgame_asr.core.params import section
from galgame_asr.corpora.common.types import Limit, ShardSize


@section
class Kaldi:
    """Lists as Kaldi has them under names of their own, from the folder `path`."""

    wav_scp: str
    text: str
    # null: each line of wav_scp is an utterance.
    segments: str | None = None


@section
class Folder:
    """The user's own recordings.

    `path` is one of: a folder of audio files, each with a .txt of the same stem
    beside it; a folder with Kaldi's wav.scp and text; a .tsv or .jsonl file with columns
    audio and text; a .jsonl file of FunASR's trainer (messages) or of Whisper-Finetune
    (audio.path, sentence).
    """

    kind: Literal["folder"]
    path: str
    shard_size: ShardSize
    # null: if the folder has a wav.scp, that, with its text and segments.
    kaldi: Kaldi | None = None
    # A file whose lines are ids, or begin with them, or a table as `path` may be one: these
    # utterances are the corpus's test set. null: the split decides.
    test_ids: str | None = None
    # false: audio stays where it is, and is read there by every stage.
    copy: bool = True
    limit: Limit | None = None
    # true: music or noise. Its texts are not read, and its rows are in no set: a phase names it in
    # its mix for augment.noise, or to learn silence.
    not_speech: bool = False

    @model_validator(mode="after")
    def _only_speech_is_split(self) -> "Folder":
        if self.not_speech and (self.test_ids is not None or self.limit is not None):
            raise ValueError("what is not_speech is in no set: take test_ids and limit away")
        return self


Entry = Folder
