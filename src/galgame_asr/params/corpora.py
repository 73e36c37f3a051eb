"""Section `corpora`: the corpora of this run, by name."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from galgame_asr.params import Revision, section

ShardSize = Annotated[int, Field(ge=1)]
UpstreamSet = Literal["train", "dev", "test"]
# From small to large; each holds the ones before it.
TIERS = ("tiny", "small", "medium", "large", "all")
Tier = Literal["tiny", "small", "medium", "large", "all"]


@section
class Synthetic:
    """Speech rendered from the project's own sentences."""

    kind: Literal["synthetic"]
    # vn: visual-novel lines in several characters' voices; reading: narration in one voice.
    recipe: Literal["vn", "reading"]
    # How many utterances to render; the recipe's sentences set the limit.
    utterances: Annotated[int, Field(ge=1)]
    # Draws the sentences, characters and music.
    seed: int
    # Utterances per tar shard.
    shard_size: ShardSize


@section
class Galgame:
    """A Hugging Face data set of WebDataset tars, such as litagin/Galgame_Speech_ASR_16kHz."""

    kind: Literal["galgame"]
    repo: str
    revision: Revision
    # Which files of the repository are shards (shell patterns).
    shards: Annotated[tuple[str, ...], Field(min_length=1)]
    # Which of them the makers keep for testing (shell patterns).
    test_shards: tuple[str, ...]
    # The repository's own JSON of utterances per shard, to check against; null: no check.
    counts: str | None


@section
class ReazonSpeech:
    """ReazonSpeech v2: a table of texts, and tars of FLAC, over HTTP."""

    kind: Literal["reazonspeech"]
    url: str
    tier: Tier
    # Leave out what this smaller tier holds, so that no utterance counts twice.
    beyond: Tier | None
    # Whether the user agrees to the terms, which the stage prints.
    agree_terms: bool

    @model_validator(mode="after")
    def _beyond_is_smaller(self) -> "ReazonSpeech":
        if self.beyond and TIERS.index(self.beyond) >= TIERS.index(self.tier):
            raise ValueError(f"beyond is {self.beyond}; it must be smaller than tier {self.tier}")
        return self


@section
class HubDataset:
    """A Hugging Face data set of parquet files with a column of audio and one of text."""

    kind: Literal["hub_dataset"]
    # OWNER/NAME on the hub, or a folder of parquet files.
    repo: str
    # null only for a folder.
    revision: Revision | None
    config: str | None
    # The data set's splits to take, and which set each is for; null: our hash decides.
    splits: Annotated[dict[str, UpstreamSet | None], Field(min_length=1)]
    audio_column: str
    text_column: str
    shard_size: ShardSize


@section
class Aishell:
    """AISHELL-1: one archive with an archive per speaker, and a transcript."""

    kind: Literal["aishell"]
    # http(s) address or path of data_aishell.tgz.
    url: str
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    shard_size: ShardSize
    # PACKAGE.MODULE:FUNCTION that gives texts their punctuation (a list of str to a list of
    # str); null leaves them without, as published.
    restore_punctuation: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None


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


Corpus = Annotated[
    Synthetic | Galgame | ReazonSpeech | HubDataset | Aishell | Folder,
    Field(discriminator="kind"),
]
Corpora = Annotated[dict[str, Corpus], Field(min_length=1)]
