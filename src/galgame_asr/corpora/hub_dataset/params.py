"""What an entry of kind `hub_dataset` of section `corpora` may say."""

from typing import Annotated, Literal

from pydantic import Field

from galgame_asr.core.params import Revision, section
from galgame_asr.corpora.common.types import Limit, ShardSize, UpstreamSet


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
    limit: Limit | None = None


Entry = HubDataset
