"""Files are written whole, under any name that a disk takes."""

from pathlib import Path

import pytest

from galgame_asr.core.files import refuse_unwritable, write_text
from galgame_asr.messages.errors import ConfigError


def test_the_longest_names_are_written(tmp_path: Path) -> None:
    """A title of 83 kana with its ending has 253 bytes, and the temporary file is no longer."""
    path = tmp_path / ("あ" * 83 + ".srt")
    refuse_unwritable(path)
    write_text(path, "text")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_longer_name_is_refused_before_the_work(tmp_path: Path) -> None:
    """With its size and what is allowed."""
    with pytest.raises(ConfigError, match="has a name of 259 bytes; file systems take 255"):
        refuse_unwritable(tmp_path / ("あ" * 85 + ".srt"))


def test_a_place_that_is_no_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    """Such as below a file."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be written: .*file is not a folder"):
        refuse_unwritable(tmp_path / "file/new/scene.srt")
    refuse_unwritable(tmp_path / "new/folder/scene.srt")
