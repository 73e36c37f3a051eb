"""Files are written whole, under any name that a disk takes."""

from pathlib import Path

import pytest

from galgame_asr.core.files import refuse_long_name, write_text
from galgame_asr.messages.errors import ConfigError


def test_the_longest_names_are_written(tmp_path: Path) -> None:
    """A title of 83 kana with its ending has 253 bytes, and the temporary file is no longer."""
    path = tmp_path / ("あ" * 83 + ".srt")
    refuse_long_name(path)
    write_text(path, "text")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_longer_name_is_refused_before_the_work(tmp_path: Path) -> None:
    """With its size and what is allowed."""
    with pytest.raises(ConfigError, match="has a name of 259 bytes; file systems take 255"):
        refuse_long_name(tmp_path / ("あ" * 85 + ".srt"))
