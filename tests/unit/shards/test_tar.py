"""The tar walker finds what tarfile finds, and nothing is lost without an error."""

import io
import tarfile
from pathlib import Path

import pytest

from galgame_asr.messages.errors import DataError
from galgame_asr.shards import tar
from tests.fuzz_readers import with_checksums

FILES = {"a.txt": b"x" * 700, "b.ogg": b"", "c" * 90 + ".txt": bytes(512)}


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "a.tar"
    tar.write(path, FILES.items())
    return path


def test_members_point_at_the_bytes(shard: Path) -> None:
    """Each offset and size is where the content lies."""
    data = shard.read_bytes()
    found = {m.name: data[m.offset : m.offset + m.size] for m in tar.members(shard)}
    assert found == FILES


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_japanese_names(tmp_path: Path, format_: int) -> None:
    """Names beyond the header's 100 bytes are read in both extensions of the format."""
    names = ["短い.txt", "あ" * 80 + ".txt", "d/" * 60 + "e.ogg"]
    path = tmp_path / "long.tar"
    with tarfile.open(path, "w", format=format_) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
    assert [m.name for m in tar.members(path)] == names


def test_writing_depends_on_the_files_alone(shard: Path, tmp_path: Path) -> None:
    """Two writes of the same files are the same bytes, whenever and wherever."""
    tar.write(tmp_path / "other.tar", FILES.items())
    assert (tmp_path / "other.tar").read_bytes() == shard.read_bytes()


def test_a_cut_at_any_block_is_an_error(shard: Path) -> None:
    """No truncation passes: not inside a header or payload, and not between members."""
    data = shard.read_bytes()
    end = max(m.offset + m.size for m in tar.members(shard))
    for length in range(0, end + 1, 256):
        shard.write_bytes(data[:length])
        with pytest.raises(DataError, match="truncated"):
            list(tar.members(shard))


def test_something_else_is_an_error(tmp_path: Path) -> None:
    """A saved error page is no tar, and a missing file is named."""
    path = tmp_path / "a.tar"
    path.write_bytes(b"<html>429 Too Many Requests</html>".ljust(2048))
    with pytest.raises(DataError, match=r"a\.tar is not a tar at byte 0"):
        list(tar.members(path))
    with pytest.raises(DataError, match=r"b\.tar is missing"):
        list(tar.members(tmp_path / "b.tar"))


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """An exception from the source of the files leaves no half-written tar."""

    def broken() -> list[tuple[str, bytes]]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        tar.write(tmp_path / "a.tar", (item for _ in [0] for item in broken()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("record", [b"0 path=a", b"x path=a", b"-9 path=a", b"9999 path=a", b""])
def test_a_damaged_pax_record_is_an_error(tmp_path: Path, record: bytes) -> None:
    """One that counts nothing would be read for ever."""
    path = tmp_path / "a.tar"
    tar.write(path, [("あ" * 50, b"abc")])
    data = path.read_bytes()
    whole = data[512 : data.index(b"\0", 512)]
    path.write_bytes(data.replace(whole, record.ljust(len(whole), b"\0")))
    with pytest.raises(DataError, match=r"a\.tar is not a tar at byte 512: no pax record"):
        list(tar.members(path))


def test_a_negative_size_is_an_error(shard: Path) -> None:
    """It would lead back to the same header."""
    data = bytearray(shard.read_bytes())
    data[124:136] = b"-0000001000\0"
    shard.write_bytes(with_checksums(bytes(data)))
    with pytest.raises(DataError, match=r"is not a tar at byte 0: a size of -512"):
        list(tar.members(shard))


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_a_link_is_an_error(tmp_path: Path, kind: bytes) -> None:
    """GNU tar writes the second name of a file without its bytes: an utterance less."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("b.wav")
        info.type, info.linkname = kind, "a.wav"
        archive.addfile(info)
    with pytest.raises(DataError, match=r"the bytes of member b\.wav are elsewhere.*--hard-deref"):
        list(tar.members(path))


def test_tars_in_a_row_are_an_error(shard: Path) -> None:
    """`cat a.tar b.tar`: what follows the first end marker must not be lost."""
    shard.write_bytes(shard.read_bytes() * 2)
    with pytest.raises(DataError, match=r"goes on behind its end marker.*--ignore-zeros"):
        list(tar.members(shard))


def test_folders_and_paths_of_other_tars(tmp_path: Path) -> None:
    """What `tar cf x.tar .` adds is no utterance, and a path may begin anywhere."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name in ("./a.wav", "/data/b.wav"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert [member.name for member in tar.members(path)] == ["./a.wav", "/data/b.wav"]
