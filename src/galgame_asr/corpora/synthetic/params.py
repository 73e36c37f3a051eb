"""What an entry of kind `synthetic` of section `corpora` may say."""

from typing import Annotated, Literal

from pydantic import Field

from galgame_asr.core.params import section
from galgame_asr.corpora.common.types import ShardSize


@section
class Synthetic:
    """Speech rendered from the project's own sentences."""

    kind: Literal["synthetic"]
    # vn: visual-novel lines in several characters' voices; sequel: the same lines, with the names
    # written otherwise; reading: narration in one voice.
    recipe: Literal["vn", "sequel", "reading"]
    # How many utterances to render: each sentence once, and, if these are more than the recipe has
    # sentences, again by characters who have not said it; those set the limit.
    utterances: Annotated[int, Field(ge=1)]
    # Draws the sentences, characters and music.
    seed: int
    # Utterances per tar shard.
    shard_size: ShardSize
    # Share of the labels that are made wrong, in five ways, to try an audit on: see labels.py.
    corrupt_labels: Annotated[float, Field(ge=0, lt=1)] = 0.0


Entry = Synthetic
