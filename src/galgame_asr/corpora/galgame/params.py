"""What an entry of kind `galgame` of section `corpora` may say."""

from typing import Annotated, Literal

from pydantic import Field

from galgame_asr.core.params import Revision, section
from galgame_asr.corpora.common.types import Limit


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
    limit: Limit | None = None


Entry = Galgame
