"""Files are written whole, under any name that a disk takes, and nothing else is lost by it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from galgame_asr.core.files import atomic_directory, refuse_unwritable, write_text
from galgame_asr.messages.errors import ConfigError, DataError


def write_directory(path: Path) -> None:
    """A directory that holds a file `new`."""
    with atomic_directory(path) as temporary:
        (temporary / "new").touch()


@pytest.mark.parametrize("name", ["あ" * 83 + ".srt", "x" * 255, "あ" * 85])
def test_the_longest_names_are_written(tmp_path: Path, name: str) -> None:
    """Up to the 255 bytes of a file's name, as a file and as a directory; nothing else stays."""
    path = tmp_path / "results" / name
    refuse_unwritable(path)
    assert not path.parent.exists()
    for _ in range(2):
        write_text(path, "text")
    refuse_unwritable(path)
    assert path.read_text() == "text"
    path.unlink()
    for _ in range(2):
        write_directory(path)
    assert [file.name for file in path.parent.iterdir()] == [name]


def too_long(root: Path) -> Path:
    return root / ("あ" * 85 + ".srt")


def below_too_long(root: Path) -> Path:
    return root / ("x" * 256) / "a.srt"


def folder(root: Path) -> Path:
    (root / "mine").mkdir()
    (root / "mine/work.txt").write_text("work")
    return root / "mine"


def below_a_file(root: Path) -> Path:
    (root / "file").write_text("work")
    return root / "file/a.srt"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (too_long, "has a name of 259 bytes; file systems take 255"),
        (below_too_long, "has a name of 256 bytes"),
        (folder, "is a folder, which no file replaces"),
        (below_a_file, "file is not a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    """In one line, and what is there stays as it is."""
    path = make(tmp_path)
    before = {file: file.is_file() and file.read_text() for file in tmp_path.rglob("*")}
    with pytest.raises(ConfigError, match=message):
        refuse_unwritable(path)
    assert {f: f.is_file() and f.read_text() for f in tmp_path.rglob("*")} == before


def test_a_file_never_replaces_a_folder(tmp_path: Path) -> None:
    """Whoever writes one without asking before."""
    path = folder(tmp_path)
    with pytest.raises(IsADirectoryError):
        write_text(path, "page")
    assert [file.name for file in tmp_path.rglob("*")] == ["mine", "work.txt"]


def test_a_link_to_a_folder_is_not_replaced(tmp_path: Path) -> None:
    """It says so before anything is written; the link and what it leads to stay."""
    target, link = folder(tmp_path), tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(DataError, match=rf"link is a link to {target}"), atomic_directory(link):
        pytest.fail("the work has begun")
    assert link.is_symlink()
    assert (target / "work.txt").read_text() == "work"
