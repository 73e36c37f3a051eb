"""Types that the entries of several kinds of corpora share."""

from typing import Annotated, Literal

from pydantic import Field

ShardSize = Annotated[int, Field(ge=1)]
# At most so many utterances (1 and more), or such a share of them (below 1), for training; test
# and dev sets are as without, but that a corpus of shards comes with its first shards alone.
Limit = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)]
# What the corpus's makers meant it for; or music and noise, `core.paths.NOT_SPEECH`.
UpstreamSet = Literal["train", "dev", "test", "not_speech"]
