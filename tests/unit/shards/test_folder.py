"""The list of a corpus's shards is read as it was written, or named."""

from pathlib import Path

import pytest

from galgame_asr.messages.errors import DataError
from galgame_asr.shards import folder, tar
from galgame_asr.shards.folder import Shard


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    tar.write(tmp_path / "c.tar", [("a.txt", b"abc")])
    folder.write_list(tmp_path, [Shard(tmp_path / "c.tar", 0, "test")])
    return tmp_path


def test_a_list_is_read_back(corpus: Path) -> None:
    """With the counts and sets that it was given."""
    assert folder.listed(corpus) == [Shard(corpus / "c.tar", 0, "test")]


@pytest.mark.parametrize(
    "content",
    [
        b"name\tbytes\tutterances\tupstream_set\nc.tar\t\t\t\n",
        b"name\tbytes\tutterances\tupstream_set\nc.tar\n",
        b"name\tbytes\tutterances\tupstream_set\nc.tar\t10240\tmany\t\n",
        b"name\tbytes\nc.tar\t10240\n",
        b"c.tar\t10240\n\n",
        b"name\tbytes\tutterances\tupstream_set\n\xff\t1\t\t\n",
    ],
)
def test_a_damaged_list_is_named(corpus: Path, content: bytes) -> None:
    """Numbers that are none, columns that are missing, bytes that are no text."""
    (corpus / folder.LIST).write_bytes(content)
    with pytest.raises(DataError, match=r"shards\.tsv (is no list of shards|lists)"):
        folder.listed(corpus)
