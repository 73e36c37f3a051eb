"""Section `corpora`: the corpora of this run, by name."""

from typing import Annotated, Literal

from pydantic import Field

from galgame_asr.params import section


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
    shard_size: Annotated[int, Field(ge=1)]


@section
class Galgame:
    """A Hugging Face data set of WebDataset tars, such as litagin/Galgame_Speech_ASR_16kHz."""

    kind: Literal["galgame"]
    repo: str
    # The 40-hex commit, never a branch: a branch can change under the same name.
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    # Which files of the repository are shards (shell patterns).
    shards: Annotated[tuple[str, ...], Field(min_length=1)]


Corpus = Annotated[Synthetic | Galgame, Field(discriminator="kind")]
Corpora = Annotated[dict[str, Corpus], Field(min_length=1)]
