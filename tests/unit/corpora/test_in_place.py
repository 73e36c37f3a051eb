"""Audio that is not copied: read where it is, and nowhere else."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from galgame_asr.core.params import parse
from galgame_asr.core.reader import ShardReader, decode, part
from galgame_asr.corpora.folder.params import Folder
from galgame_asr.messages.errors import DataError
from galgame_asr.shards import in_place
from tests.corpora import Row, manifest, put
from tests.fuzz_readers import WAV, encoded

YES = "はい"
LINES = f"a\twav/a.wav\t{YES}\nb\twav/x/v1.2\tいいえ\nc\twav/none.wav\tない\n"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recordings, one without a suffix; a text without audio, and audio without a text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    put(tmp_path / "mine", {"wav/a.wav": WAV, "wav/x/v1.2": encoded("FLAC")})
    put(tmp_path / "mine", {"wav/d.wav": encoded("AIFF")})
    return put(tmp_path / "mine", {"t.tsv": f"id\taudio\ttext\n{LINES}v1.d\twav/d.wav\n"})


def fetched(path: Path, **keys: Any) -> dict[str, Row]:
    values = {"kind": "folder", "path": str(path), "shard_size": 2, "copy": False} | keys
    shutil.rmtree("data/raw", ignore_errors=True)
    return manifest(parse(Folder, values, "corpora.c"))


def raw() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("data/raw/c").iterdir()}


def test_the_same_rows_as_of_copies(mine: Path) -> None:
    """But for where the bytes are; the same samples, flags and texts; missing sides included."""
    copied = fetched(mine / "t.tsv", copy=True)
    reader = ShardReader(Path("data/raw"))
    spoken = {id_: reader.read_row(copied[id_]) for id_ in ("a", "b", "v1.d")}
    rows = fetched(mine / "t.tsv")
    place = {"shard": "", "offset": 0}
    assert {i: row | place for i, row in rows.items()} == {
        i: row | place for i, row in copied.items()
    }
    assert {id_: row["shard"] for id_, row in rows.items()} == {
        "a": "@c/a.wav", "b": "@c/x/v1.2", "c": "c/c-000001.jsonl", "v1.d": "@c/d.wav",
    }  # fmt: skip
    assert rows["c"]["flags"] == ["audio_missing"]
    assert rows["v1.d"]["flags"] == ["text_missing"]
    reader = ShardReader(Path("data/raw"))
    for id_, samples in spoken.items():
        np.testing.assert_array_equal(reader.read_row(rows[id_]), samples)
    assert sorted(raw()) == ["c-000000.jsonl", "c-000001.jsonl", "shards.tsv"]


def test_outputs_do_not_know_where_the_folder_is(mine: Path) -> None:
    """So that stages behind do not rerun on another machine; the link there is all that differs."""
    rows = fetched(mine / "t.tsv")
    first = raw()
    elsewhere = mine.rename(mine.with_name("elsewhere"))
    with pytest.raises(
        DataError, match=r"utterance a: .*mine/wav/a\.wav is not there: \.scratch/fi"
    ):
        ShardReader(Path("data/raw")).read_row(rows["a"])
    assert fetched(elsewhere / "t.tsv") == rows
    assert raw() == first
    link = Path(".scratch/files/c")
    assert link.resolve() == elsewhere / "wav"
    ShardReader(Path("data/raw")).read_row(rows["a"])
    link.unlink()
    link.mkdir()
    with pytest.raises(DataError, match=r"corpora\.c\.copy: \.scratch/files/c must be a link to"):
        fetched(elsewhere / "t.tsv")


@pytest.mark.parametrize("change", ["other bytes", "shorter", "gone"])
def test_a_changed_file_is_named(mine: Path, change: str) -> None:
    """By the stage that indexes and by what reads rows, with what takes the change in."""
    rows = fetched(mine / "t.tsv")
    file = mine / "wav/a.wav"
    if change == "gone":
        file.unlink()
        message = r"wav/a\.wav cannot be read: No such file.*; `dvc repro --force fetch@c`"
    else:
        file.write_bytes(WAV[:-1] + (b"" if change == "shorter" else bytes([WAV[-1] ^ 1])))
        message = r"wav/a\.wav has changed since corpus c was taken in; `dvc repro --force fetch@c`"
    with pytest.raises(DataError, match=f"utterance a: .*{message}"):
        ShardReader(Path("data/raw")).read_row(rows["a"])
    with pytest.raises(DataError, match=message):
        list(in_place.contents(Path("data/raw/c/c-000000.jsonl"), "c"))
    file.write_bytes(WAV)
    ShardReader(Path("data/raw")).read_row(rows["a"])


def test_what_cannot_stay(mine: Path) -> None:
    """A part of a file that loses samples, a name that no table can hold, one like a part's."""
    put(mine, {"wav.scp": "a wav/a.wav\n", "segments": "a-1 a 0 0.2\n"})
    put(mine, {"wav/a.wav": encoded("OGG")})
    message = r"corpora\.c\.copy: parts of .*a\.wav, which is OGG, VORBIS, cannot .*; set copy"
    with pytest.raises(DataError, match=message):
        fetched(mine)
    old = os.fsdecode("声".encode("cp932"))
    put(mine, {f"zip/{old}.wav": WAV})
    with pytest.raises(DataError, match=r"corpora\.c\.copy: '.*' is no name that a table"):
        fetched(mine / "zip")
    put(mine, {"own.tsv": "audio\ttext\npart#0-1\tはい\n", "part#0-1": WAV})
    with pytest.raises(DataError, match=r"corpora\.c\.copy: '.*part#0-1' .* ends as a part's; set"):
        fetched(mine / "own.tsv")
    # No file at all is for the manifest to say.
    put(mine, {"none.tsv": "audio\ttext\nnone.wav\tない\n"})
    assert fetched(mine / "none.tsv")["none"]["flags"] == ["audio_missing"]


@pytest.mark.parametrize("kind", ["PCM_16", "PCM_24", "FLOAT", "DOUBLE"])
def test_a_part_has_the_samples_of_the_whole(mine: Path, kind: str) -> None:
    """In 16 bits, whatever the file has; no frames are no part."""
    file = mine / "whole.wav"
    file.write_bytes(encoded("WAV", kind))
    whole, _ = decode(file.read_bytes())
    found, _ = decode(part(file, 1000, 3000))
    assert np.abs(found).max() > 0.1
    np.testing.assert_allclose(found, whole[1000:3000], atol=1 / 32768)
    for first, last in ((100, 100), (200, 100)):
        with pytest.raises(DataError, match="no frame is"):
            part(file, first, last)


def test_parts_of_files(mine: Path) -> None:
    """The same samples as of copies; a change elsewhere in the file is none of theirs."""
    put(
        mine, {"wav.scp": "a wav/a.wav\nb wav/x/v1.2\n", "text": "a-1 はい\na-2 いいえ\nb-1 ない\n"}
    )
    put(mine, {"segments": "a-1 a 0 0.2\na-2 a 0.1 0.3\nb-1 b 0.05 0.25\n"})
    copied = fetched(mine, copy=True)
    spoken = {id_: ShardReader(Path("data/raw")).row_bytes(row) for id_, row in copied.items()}
    rows = fetched(mine)
    reader = ShardReader(Path("data/raw"))
    assert rows["a-2"]["shard"].startswith("@c/a.wav#")
    assert {id_: reader.row_bytes(row) for id_, row in rows.items()} == spoken
    file = mine / "wav/a.wav"
    file.write_bytes(WAV[:-1] + bytes([WAV[-1] ^ 1]))
    assert reader.row_bytes(rows["a-1"]) == spoken["a-1"]
    file.write_bytes(WAV[:-2000])
    with pytest.raises(DataError, match=r"utterance a-2: .*wav/a\.wav has changed since"):
        reader.row_bytes(rows["a-2"])
    file.write_bytes(b"no audio")
    with pytest.raises(DataError, match=r"utterance a-1: .*wav/a\.wav has changed since"):
        reader.row_bytes(rows["a-1"])
    file.unlink()
    with pytest.raises(DataError, match=r"utterance a-1: .*wav/a\.wav cannot be read: No such"):
        reader.row_bytes(rows["a-1"])


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs /dev/shm, as Linux has it")
def test_files_of_no_common_folder(mine: Path) -> None:
    """Below `/` alone, paths are those of one machine: two of them are named."""
    with TemporaryDirectory(dir="/dev/shm") as other:
        shutil.copy(mine / "wav/a.wav", other)
        put(mine, {"two.tsv": f"audio\ttext\n{mine}/wav/a.wav\tx\n{other}/a.wav\ty\n"})
        message = rf"corpora\.c\.copy: {other}/a\.wav and {mine}/wav/a\.wav lie below no common"
        with pytest.raises(DataError, match=message):
            fetched(mine / "two.tsv")


def test_a_test_set_of_files_that_stay(mine: Path) -> None:
    """Lists of ids part the corpus as they do with copies."""
    put(mine, {"ids": "b\n"})
    rows = fetched(mine / "t.tsv", test_ids=str(mine / "ids"))
    assert {id_ for id_, row in rows.items() if row["upstream_set"] == "test"} == {"b"}
    assert sorted(raw()) == [
        "c-test-000000.jsonl", "c-train-000000.jsonl", "c-train-000001.jsonl", "shards.tsv",
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["x\n", "[]\n", '{"id": "a"}\n', "1\n"])
def test_a_damaged_list_is_named(mine: Path, line: str) -> None:
    """It is made by fetch, and by nobody else."""
    fetched(mine / "t.tsv")
    path = Path("data/raw/c/c-000000.jsonl")
    path.write_text(line)
    with pytest.raises(DataError, match=r"c-000000\.jsonl is no list of files"):
        list(in_place.read(path))
