"""Types that the entries of several kinds of corpora share."""

from typing import Annotated, Literal

from pydantic import Field

ShardSize = Annotated[int, Field(ge=1)]
UpstreamSet = Literal["train", "dev", "test"]
