"""Files as people's programs write them: a row for each utterance, or one message."""

import io
import logging
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile as sf

from galgame_asr.core.params import parse
from galgame_asr.core.reader import ShardReader
from galgame_asr.corpora.folder.params import Folder
from galgame_asr.corpora.hub_dataset.params import HubDataset
from galgame_asr.corpora.recordings import containers
from galgame_asr.messages.errors import ConfigError, DataError
from tests.corpora import Row, manifest, put
from tests.fuzz_readers import SPEECH, WAV, encoded, table
from tests.recordings import RATE_HZ

YES = "はい"
FORK = b"\0\5\x16\7\0\2\0\0Mac OS X        "


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder


def fetched(path: Path) -> dict[str, Row]:
    return manifest(Folder(kind="folder", path=str(path), shard_size=10))


def tagged(*sizes: int) -> bytes:
    """ID3 with a picture of each size, as shops put covers before an MP3."""

    def size(number: int) -> bytes:  # 7 bits a byte
        return bytes(number >> place & 127 for place in (21, 14, 7, 0))

    pictures = [b"APIC" + size(number) + b"\0\0" + bytes(number) for number in sizes]
    return b"".join(b"ID3\x04\0\0" + size(len(picture)) + picture for picture in pictures)


def mp3_in_wav() -> bytes:
    data = encoded("MP3")
    layout = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE_HZ, 4000, 1, 0, 12, 1, 2, 144, 1, 1393)
    counted = b"fact" + struct.pack("<II", 4, len(SPEECH))
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + counted
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


KINDS = {
    "extensible, 24 bits, stereo": encoded("WAVEX", "PCM_24", channels=2, rate_hz=48_000),
    "RF64": encoded("RF64"),
    "Wave64": encoded("W64"),
    "AIFF": encoded("AIFF"),
    "A-law at 8 kHz": encoded("WAV", "ALAW", rate_hz=8_000),
    "MP3": encoded("MP3"),
    "MP3 in WAV": mp3_in_wav(),
    "MP3 behind 3 MB of cover": tagged(3_000_000) + encoded("MP3"),
    "Opus": encoded("OGG", "OPUS"),
    "with a chunk of odd size": WAV[:12] + b"bext\x59\2\0\0" + bytes(602) + WAV[12:],
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_named_wav(mine: Path, kind: str) -> None:
    """The bytes say what a file is, not its name; manifest, training and transcribe agree."""
    put(mine, {"a.wav": KINDS[kind], "a.txt": YES})
    row = fetched(mine)["a"]
    assert set(row["flags"]) <= {"sample_rate", "channels"}
    expected_s = len(SPEECH) / row["sample_rate_hz"]
    assert row["duration_s"] == pytest.approx(expected_s, abs=0.002)
    assert len(ShardReader(Path("data/raw")).read_row(row)) == pytest.approx(
        expected_s * RATE_HZ, abs=30
    )
    # FFmpeg does not take away what the encoder of an MP3 in WAV put before the sound.
    if kind != "MP3 in WAV":
        samples = sum(map(len, containers.read(mine / "a.wav")))
        assert samples / RATE_HZ == pytest.approx(expected_s, abs=0.002)


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_streams_in_a_row(mine: Path, codec: str) -> None:
    """Of joined Ogg files libsndfile decodes the first; the text is that of both."""
    streams = [io.BytesIO(), io.BytesIO()]
    for stream in streams:  # each gets a serial number of its own, as the format wants it
        sf.write(stream, SPEECH, RATE_HZ, format="OGG", subtype=codec)
    put(mine, {"a.ogg": b"".join(stream.getvalue() for stream in streams), "a.txt": YES})
    assert fetched(mine)["a"]["flags"] == ["audio_unreadable"]
    assert sum(map(len, containers.read(mine / "a.ogg"))) > 1.9 * len(SPEECH)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers(mine: Path, value: float) -> None:
    """One in a float file would make a loss, and so all weights, no numbers."""
    buffer = io.BytesIO()
    sf.write(buffer, np.append(SPEECH, value), RATE_HZ, format="WAV", subtype="FLOAT")
    put(mine, {"a.wav": buffer.getvalue(), "a.txt": YES})
    row = fetched(mine)["a"]
    assert row["flags"] == ["decode_error"]
    with pytest.raises(DataError, match=r"utterance a: .*samples that are no numbers"):
        ShardReader(Path("data/raw")).read_row(row)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"audio\ttext\r\na.wav\t{YES}\r\n".encode("utf-16"), r"t\.tsv is UTF-16, .*iconv -f utf-"),
        (f"audio\ttext\ra.wav\t{YES}\r".encode(), r"t\.tsv ends its lines by CR alone"),
        (f"audio,text\na.wav,{YES}\n".encode(), r"t\.tsv line 2 has no column .*: 'audio,text'"),
        (b"", r"t\.tsv holds no recording"),
        (b"audio\ttext\n/\t\n", r"t\.tsv line 2: audio is '/'; allowed: the path of a file"),
        (b"id\taudio\nu\0\ta.wav\n", r"t\.tsv: 'u\\x00' is no id; allowed"),
        (b"audio\ttext\n" + b"a" * 300 + b".wav\t\n", r"a\.wav cannot be read: File name too long"),
    ],
)
def test_tables_of_spreadsheets(mine: Path, content: bytes, message: str) -> None:
    """Excel's Unicode text, Excel of a Mac, commas, nothing, and paths that are none."""
    put(mine, {"t.tsv": content, "a.wav": WAV})
    with pytest.raises(DataError, match=message):
        fetched(mine / "t.tsv")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"audio": "a.wav", "text": NaN}', r"line 1: text is NaN \(float\); allowed: text"),
        ('[{"audio": "a.wav", "text": "x"}]', "line 1 is list"),
        ('{"id": "a\\u0000", "audio": "a.wav"}', r"t\.jsonl: 'a\\x00' is no id"),
        ('{"id": "\\ud83d", "audio": "a.wav"}', r"t\.jsonl: '\\ud83d' is no id"),
    ],
)
def test_json_of_other_programs(mine: Path, line: str, message: str) -> None:
    """NaN of pandas, a list of all, half of a character as JavaScript cuts it."""
    put(mine, {"t.jsonl": line + "\n", "a.wav": WAV})
    with pytest.raises(DataError, match=message):
        fetched(mine / "t.jsonl")


def test_half_of_a_character_in_a_text(mine: Path) -> None:
    """One of many texts was cut inside of an emoji: a flag; of two equal keys the last counts."""
    lines = ['{"audio": "a.wav", "text": "\\u306f\\ud83d"}', '{"audio": "b.wav", "audio": "c.wav"}']
    put(mine, {"t.jsonl": "\n".join(lines), "a.wav": WAV})
    rows = fetched(mine / "t.jsonl")
    assert rows["a"]["flags"] == ["text_not_utf8"]
    # A row with neither audio nor text is still a row.
    assert rows["c"]["flags"] == ["audio_missing", "text_empty"]


@pytest.mark.parametrize("list_", ["t.tsv", "wav.scp"])
def test_names_as_other_systems_spell_them(mine: Path, list_: str) -> None:
    """Windows parts folders by a backslash; macOS takes が apart."""
    put(mine, {"voice/a.wav": WAV, "か\u3099.wav": encoded("AIFF")})
    put(mine, {"t.tsv": f"id\taudio\ttext\nu1\tvoice\\a.wav\t{YES}\nu2\tが.wav\tいいえ\n"})
    if list_ == "wav.scp":
        put(mine, {"wav.scp": "u1 voice\\a.wav\nu2 が.wav\n", "text": f"u1 {YES}\nu2 いいえ\n"})
    rows = fetched(mine if list_ == "wav.scp" else mine / list_)
    assert {id_: row["flags"] for id_, row in rows.items()} == {"u1": [], "u2": []}


def test_pairs_from_a_mac_and_a_zip(mine: Path, caplog: pytest.LogCaptureFixture) -> None:
    """が as two characters beside が as one, macOS's second files, and names that are not UTF-8."""
    caplog.set_level(logging.INFO, "galgame_asr")
    put(mine, {"か\u3099.wav": WAV, "が.txt": YES, "._が.wav": FORK, "__MACOSX/._が.wav": FORK})
    old = os.fsdecode("声".encode("cp932"))
    put(mine, {f"{old}.wav": encoded("AIFF"), f"{old}.txt": "いいえ", "声　1.wav": encoded("W64")})
    rows = fetched(mine)
    flags = {id_: row["flags"] for id_, row in rows.items()}
    assert flags == {"が": [], "\\x90\\xba": [], "声　1": ["text_missing"]}
    assert "2 files ._*, which macOS keeps notes in, are left out" in caplog.text


def test_files_that_cannot_be_opened(mine: Path) -> None:
    """A link to itself has no text; a folder is no recording, whatever its name."""
    put(mine, {"a.wav": WAV, "b.wav/c.flac": encoded("FLAC")})
    assert set(fetched(mine)) == {"a", "b.wav/c"}
    (mine / "a.txt").symlink_to("a.txt")
    with pytest.raises(DataError, match=r"a\.txt cannot be read: Too many levels"):
        fetched(mine)


def test_ids_of_kaldi(mine: Path) -> None:
    """A full-width space parts nothing: it is part of an id, and of a text."""
    put(mine, {"声　1.wav": WAV, "wav.scp": "声　1\t声　1.wav\n", "text": f"声　1 　{YES}　\n"})
    rows = fetched(mine)
    assert (rows["声　1"]["text"], rows["声　1"]["flags"]) == (YES, [])
    put(mine, {"text": f"声　1 {YES}\n声　1 {YES}\n"})
    with pytest.raises(DataError, match=r"text:2: utterance '声\\u30001' has a line above"):
        fetched(mine)


@pytest.mark.parametrize("name", ["WAV", "FLAC", "FLAC from a pipe"])
def test_ends_of_segments(mine: Path, name: str) -> None:
    """Rounded up, an end is that of the file, as in Kaldi; far behind it is an error."""
    kind = name.split(maxsplit=1)[0]
    data = bytearray(encoded(kind))
    if name == "FLAC from a pipe":  # its header has no number of samples
        data[21] &= 0xF0
        data[22:26] = bytes(4)
    put(mine, {"rec": bytes(data), "wav.scp": "rec rec\n", "text": f"u1 {YES}\n"})
    length_s = len(SPEECH) / RATE_HZ
    for end, rest in ((f"{length_s + 0.01:.2f}", None), ("０.２", 0.1)):
        put(mine, {"segments": f"u1 rec 0.1 {end}\n"})
        row = fetched(mine)["u1"]
        assert row["duration_s"] == pytest.approx(rest or length_s - 0.1, abs=1e-4)
        samples = ShardReader(Path("data/raw")).read_row(row)
        whole, _ = sf.read(io.BytesIO(encoded(kind)), dtype="float32")
        np.testing.assert_array_equal(samples, whole[1600 : 1600 + len(samples)])
        Path("data/raw/c/c-000000.tar").unlink()
    for span, message in (
        ("0.1 9", r"segment 'u1' of .*rec: it ends at 9 s, and the file at 0\.2454"),
        ("7 7.1", "segment 'u1'"),
        ("0 inf", "'u1' has 'rec 0 inf'; allowed"),
        ("0 1e400", "'u1' has 'rec 0 1e400'; allowed"),
        ("0 -1", "'u1' has 'rec 0 -1'; allowed"),
    ):
        put(mine, {"segments": f"u1 rec {span}\n"})
        with pytest.raises(DataError, match=message):
            fetched(mine)


def test_a_segment_of_a_file_cut_short(mine: Path) -> None:
    """FLAC claims its whole length; what is not there is no shorter segment."""
    data = encoded("FLAC")
    put(mine, {"rec": data[: len(data) // 2], "wav.scp": "rec rec\n", "segments": "u1 rec 0 0.2\n"})
    with pytest.raises(DataError, match=r"segment 'u1' of .*rec"):
        fetched(mine)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "0 bytes"),
        ({"audio": [{"bytes": WAV, "path": "a.wav"}], "text": [3]}, r"row 0: text is 3 \(int\)"),
        ({"audio": [[0.5, 0.25]], "text": [YES]}, "cannot be read"),
        ({"audio": [1.5], "text": [YES]}, "cannot be read"),
        ({"audio": [{"array": [0.5], "sampling_rate": 8000}], "text": [YES]}, "cannot be read"),
    ],
)
def test_parquet_of_other_columns(mine: Path, content: dict[str, Any], message: str) -> None:
    """No bytes, and columns that hold no audio: the data set and its split are named."""
    files = table(**content) if content else {"train.parquet": b""}
    put(mine, dict(files))
    values: dict[str, Any] = {
        "kind": "hub_dataset", "repo": str(mine), "revision": None, "config": None,
        "splits": {"train": None}, "audio_column": "audio", "text_column": "text", "shard_size": 9,
    }  # fmt: skip
    with pytest.raises(DataError, match=f"mine split train.*{message}"):
        manifest(parse(HubDataset, values, "corpora.c"))


def test_a_row_of_parquet_with_nothing(mine: Path) -> None:
    """Neither audio nor text: the row stays, with its flags."""
    audio = pa.array([None], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    put(mine, dict(table(audio=audio, text=pa.array([None], pa.string()))))
    values: dict[str, Any] = {
        "kind": "hub_dataset", "repo": str(mine), "revision": None, "config": None,
        "splits": {"train": None}, "audio_column": "audio", "text_column": "text", "shard_size": 9,
    }  # fmt: skip
    (row,) = manifest(parse(HubDataset, values, "corpora.c")).values()
    assert row["flags"] == ["audio_missing", "text_empty"]


def test_a_folder_of_music(mine: Path) -> None:
    """Minutes long, in stereo, with notes beside it: rows for no set, and none of the notes."""
    minutes = np.tile(SPEECH, -(-40 * RATE_HZ // len(SPEECH)))
    buffer = io.BytesIO()
    sf.write(buffer, np.stack([minutes, minutes], axis=1), RATE_HZ, format="FLAC")
    notes: dict[str, bytes | str] = {"LICENSE.txt": "free", "sea/a.txt": "waves"}
    put(mine, notes | {"sea/a.flac": buffer.getvalue(), "theme.wav": WAV})
    folder = Folder(kind="folder", path=str(mine), shard_size=10, not_speech=True)
    found = manifest(folder)
    assert {id_: row["flags"] for id_, row in found.items()} == {"sea/a": ["channels"], "theme": []}
    assert {row["upstream_set"] for row in found.values()} == {"not_speech"}
    assert {row["text"] for row in found.values()} == {""}
    assert found["sea/a"]["duration_s"] > 40
    entry = {"kind": "folder", "path": str(mine), "shard_size": 10, "not_speech": True}
    for key in ({"test_ids": "a.txt"}, {"limit": 10}):
        with pytest.raises(ConfigError, match="what is not_speech is in no set: take test_ids and"):
            parse(Folder, entry | key, "corpora.bgm")
