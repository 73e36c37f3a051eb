"""What an entry of kind `aishell` of section `corpora` may say."""

from typing import Annotated, Literal

from pydantic import Field

from galgame_asr.core.params import section
from galgame_asr.corpora.common.types import Limit, ShardSize


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
    limit: Limit | None = None


Entry = Aishell
