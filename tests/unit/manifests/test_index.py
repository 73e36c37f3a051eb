"""A manifest has a row for every utterance, and says what is wrong with it."""

import dataclasses
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from galgame_asr.core import utterances
from galgame_asr.core.params import parse, read_yaml
from galgame_asr.core.reader import ShardReader
from galgame_asr.corpora.synthetic import ogg
from galgame_asr.manifests.index import Corpus, index
from galgame_asr.manifests.params import FlagSeverity, ManifestParams, severity_of
from galgame_asr.messages.errors import DataError
from galgame_asr.shards import folder as shards
from galgame_asr.shards.folder import Shard
from galgame_asr.splitting.split import usable
from tests.conftest import REPOSITORY, tone

MakeShard = Callable[..., Path]
FLAGS = [field.name for field in dataclasses.fields(FlagSeverity)]
DROP = parse(FlagSeverity, dict.fromkeys(FLAGS, "drop"), "severity")
DEFAULT = parse(ManifestParams, read_yaml(REPOSITORY / "params.yaml")["manifest"], "manifest")
PARAMS = dataclasses.replace(
    DEFAULT,
    min_duration_s=0.2,
    max_duration_s=2.0,
    severity=DROP,
    charset={"vn": "[ぁ-んァ-ヶー一-龠、。…]"},
    signal=dataclasses.replace(DEFAULT.signal, share=1.0),
)
GOOD_AUDIO = tone(0.5)
TEXT = "葵、おはよう。\n".encode()
GOOD = {"a.ogg": GOOD_AUDIO, "a.txt": TEXT}


def indexed(shard: Path, params: ManifestParams = PARAMS) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The manifest of a corpus, and its counts."""
    root = shard.parents[3]
    counts = index(
        Corpus("vn", shard.parent, params), root / "vn.parquet", root / ".scratch/manifest"
    )
    assert not (root / ".scratch/manifest").exists()
    return utterances.read(root / "vn.parquet"), counts


def encoded(
    seconds: float = 0.5,
    rate_hz: int = 16_000,
    *,
    channels: int = 1,
    scale: float = 0.3,
    offset: float = 0.0,
    kind: str = "FLAC",
) -> bytes:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    audio = np.clip(scale * np.sin(2 * np.pi * 330 * time_s) + offset, -1, 1)
    buffer = io.BytesIO()
    sf.write(buffer, np.stack([audio] * channels, 1), rate_hz, format=kind)
    return buffer.getvalue()


def flipped(data: bytes) -> bytes:
    """Garbage in the middle of the audio; the headers at both ends stay."""
    draw = random.Random(0)
    middle = len(data) // 2
    return data[: middle - 40] + draw.randbytes(80) + data[middle + 40 :]


def noise(seconds: float) -> bytes:
    """Ogg Vorbis of several pages."""
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * 16_000))
    return ogg.encode((audio * 32767).astype(np.int16), 16_000)


def with_a_bad_page(data: bytes) -> bytes:
    """One byte changed in the middle: libsndfile leaves the page out without an error."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


def pair(
    audio: bytes | None = None, text: bytes = "おはようございます".encode()
) -> dict[str, bytes]:
    return {"b.ogg": tone(0.5, hz=500) if audio is None else audio, "b.txt": text}


FAULTS = {
    "text_missing": {"b.ogg": tone(0.5, hz=500)},
    "audio_missing": {"b.txt": TEXT},
    "text_empty": pair(text="\u3000 \n".encode()),
    "text_symbols": pair(text="…。！".encode()),
    "text_nul": pair(text="おは\0よう".encode()),
    "text_not_utf8": pair(text="おはよう".encode("cp932")),
    "text_bom": pair(text="おはよう".encode("utf-8-sig")),
    "text_markup": pair(text="おは<br>よう".encode()),
    "text_multiline": pair(text="おはよう\u2028葵".encode()),
    "text_charset": pair(text="おはようQ".encode()),
    "audio_empty": pair(b""),
    "audio_unreadable": pair(b"<html>429 Too Many Requests</html>"),
    "audio_truncated": pair(tone(1.0)[:-700]),
    "sample_rate": pair(encoded(rate_hz=44_100)),
    "channels": pair(encoded(channels=2)),
    "too_short": pair(tone(0.15), text="は".encode()),
    "too_long": pair(tone(2.1)),
    "too_fast": pair(text=("あ" * 30).encode()),
    "too_slow": pair(tone(1.9), text="おはよう".encode()),
    "decode_error": pair(flipped(encoded())),
    "length_mismatch": pair(with_a_bad_page(noise(1.9))),
    "silent": pair(encoded(scale=0.0)),
    "clipped": pair(encoded(scale=3.0)),
    "dc_offset": pair(encoded(offset=0.2)),
    "duplicate_audio": {"b.ogg": GOOD_AUDIO, "b.txt": "おやすみ".encode()},
    "duplicate_text": pair(encoded(kind="WAV"), text="葵おはよう！".encode()),
}
# A limit that the short texts here can fall below.
SLOW = dataclasses.replace(PARAMS, min_letters_per_s=8.0)


def test_every_flag_has_a_fault_here() -> None:
    """No check goes untested."""
    assert {*FAULTS, "duplicate_id"} == set(FLAGS)


@pytest.mark.parametrize("flag", FAULTS)
def test_each_fault_is_flagged(make_shard: MakeShard, flag: str) -> None:
    """The bad row stays, with its reason; the good one beside it has none."""
    shard = make_shard(GOOD | FAULTS[flag])
    rows, counts = indexed(shard, SLOW if flag == "too_slow" else PARAMS)
    found = dict(zip(rows["id"], map(list, rows["flags"]), strict=True))
    assert found["a"] == []
    assert flag in found["b"]
    assert counts["flags"][flag] == 1
    assert counts["usable"] == 1


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_half_a_file_is_truncated(make_shard: MakeShard, kind: str) -> None:
    """Half a WAV or Ogg file is read by libsndfile without a word."""
    data = encoded(1.5, kind=kind)
    rows, _ = indexed(make_shard(GOOD | pair(data)))
    assert rows["flags"][1].tolist() == []
    shard = make_shard(GOOD | pair(data[: len(data) // 2]), shard="vn-000000.tar")
    if kind != "MP3":  # nothing in it announces an end
        assert "audio_truncated" in indexed(shard)[0]["flags"][1]


def test_a_good_utterance_has_a_complete_row(make_shard: MakeShard) -> None:
    """The row leads back to the audio, and the text is trimmed."""
    shard = make_shard(GOOD)
    rows, counts = indexed(shard)
    (row,) = rows.to_dict("records")
    assert row["text"] == "葵、おはよう。"
    assert row["flags"].tolist() == []
    assert (row["duration_s"], row["sample_rate_hz"], row["corpus"]) == (0.5, 16_000, "vn")
    assert len(ShardReader(shard.parents[1]).read_row(row)) == 8000
    assert (counts["utterances"], counts["usable"], counts["signal_checked"]) == (1, 1, 1)
    assert not any(counts["flags"].values())


def test_an_id_twice_is_flagged_twice(make_shard: MakeShard) -> None:
    """In two shards, or in one with two formats: nobody knows which is right."""
    make_shard(GOOD)
    shard = make_shard({"a.ogg": tone(0.7), "a.txt": "おやすみ".encode()}, shard="vn-000001.tar")
    rows, counts = indexed(shard)
    assert [list(flags) for flags in rows["flags"]] == [["duplicate_id"], ["duplicate_id"]]
    assert counts["usable"] == 0
    rows, _ = indexed(make_shard(GOOD | {"a.wav": encoded(kind="WAV")}))
    assert rows["flags"].map(lambda flags: "duplicate_id" in flags).tolist()[:2] == [True, True]


def test_severities(make_shard: MakeShard) -> None:
    """Drop excludes, warn keeps, fail stops with the utterance named; counts tell all."""
    shard = make_shard(GOOD | pair(text=b"..."))
    charset = dataclasses.replace(PARAMS, charset={})
    rows, counts = indexed(shard, charset)
    assert rows[usable(rows, {"vn": DROP})]["id"].tolist() == ["a"]
    assert usable(rows, {"vn": dataclasses.replace(DROP, text_symbols="warn")}).all()
    assert (counts["utterances"], counts["usable"], counts["flags"]["text_symbols"]) == (2, 1, 1)
    strict = dataclasses.replace(charset, severity=dataclasses.replace(DROP, text_symbols="fail"))
    before = (shard.parents[3] / "vn.parquet").read_bytes()
    with pytest.raises(
        DataError, match=r"vn/vn-000000\.tar b: text_symbols \(0\.50 s, text '\.\.\.'\)"
    ):
        indexed(shard, strict)
    assert (shard.parents[3] / "vn.parquet").read_bytes() == before


def test_the_message_begins_with_counts_and_what_was_found(make_shard: MakeShard) -> None:
    """How many of each flag, at which rates; then three rows, not all, and what can be set."""
    files: dict[str, bytes] = {}
    for number, rate_hz in enumerate([44_100, 44_100, 44_100, 24_000, 16_000]):
        sound = encoded(0.5 + number / 10, rate_hz, channels=1 + number % 2)
        files |= {f"{number}.flac": sound, f"{number}.txt": f"おはよう{number}".encode()}
    shard = make_shard(files)
    with pytest.raises(DataError) as caught:
        indexed(shard, DEFAULT)
    first, *rows, last = str(caught.value).splitlines()
    assert first == (
        "4 of 5 utterances of vn have a flag that must not occur: "
        "sample_rate 4 (3 at 44100 Hz, 1 at 24000 Hz), channels 2 (2 with 2 channels)"
    )
    assert [row.split()[1] for row in rows] == ["0:", "1:", "2:"]
    assert rows[1] == "  vn/vn-000000.tar 1: sample_rate, channels (0.60 s, text 'おはよう1')"
    assert last.endswith("set manifest.exceptions.vn.FLAG to drop or warn")


@pytest.mark.parametrize("kind", ["folder", "hub_dataset"])
def test_peoples_recordings_pass_at_the_default(make_shard: MakeShard, kind: str) -> None:
    """What reading makes good is counted in their kinds of corpora, and stops the others."""
    sound = encoded(0.5, 44_100, channels=2)
    shard = make_shard({"a.flac": sound, "a.txt": "\ufeffおはよう\r\nございます\r\n".encode()})
    severity = severity_of("vn", kind, DEFAULT.severity, DEFAULT.exceptions)
    rows, counts = indexed(shard, dataclasses.replace(DEFAULT, severity=severity))
    assert (rows["text"][0], counts["usable"]) == ("おはよう ございます", 1)
    flags = {"sample_rate", "channels", "text_bom", "text_multiline"}
    assert {flag for flag, count in counts["flags"].items() if count} == flags
    severity = severity_of("vn", "galgame", DEFAULT.severity, DEFAULT.exceptions)
    assert not flags & {flag for flag in flags if getattr(severity, flag) != "fail"}


def test_a_missing_or_cut_shard_is_an_error(make_shard: MakeShard) -> None:
    """A shard less is not a smaller corpus, and an empty folder is not an empty one."""
    first, second = make_shard(GOOD), make_shard({"b.ogg": tone(0.5)}, shard="vn-000001.tar")
    data = second.read_bytes()
    second.write_bytes(data[:-512])
    with pytest.raises(DataError, match=rf"vn-000001.tar has {len(data) - 512} bytes instead of"):
        indexed(first)
    second.unlink()
    with pytest.raises(DataError, match=r"vn-000001\.tar has no bytes instead of .*`dvc checkout`"):
        indexed(first)
    (first.parent / "shards.tsv").unlink()
    with pytest.raises(DataError, match=r"shards\.tsv is missing"):
        indexed(first)


def test_a_shard_with_another_count_is_an_error(make_shard: MakeShard) -> None:
    """The makers' own count of utterances holds."""
    shard = make_shard(GOOD)
    shards.write_list(shard.parent, [Shard(shard, utterances=2)])
    with pytest.raises(DataError, match=r"vn-000000\.tar holds 1 utterances instead of 2"):
        indexed(shard)


def test_the_table_depends_on_the_shards_alone(make_shard: MakeShard) -> None:
    """Rows are sorted, and two runs over several shards give equal bytes, whoever was first."""
    draw = random.Random(0)
    for number in range(5):
        files: dict[str, bytes] = {}
        for _ in range(draw.randrange(1, 30)):
            name = f"{draw.getrandbits(64):016x}"
            files |= {f"{name}.ogg": tone(draw.uniform(0.2, 1.0)), f"{name}.txt": name.encode()}
        shard = make_shard(files, shard=f"vn-{number:06}.tar")
    params = dataclasses.replace(PARAMS, charset={})
    rows, _ = indexed(shard, params)
    first = (shard.parents[3] / "vn.parquet").read_bytes()
    indexed(shard, params)
    assert (shard.parents[3] / "vn.parquet").read_bytes() == first
    assert list(rows["shard"]) == sorted(rows["shard"])
    for _, group in rows.groupby("shard"):
        assert group["id"].is_monotonic_increasing


def test_a_damaged_table_is_an_error(tmp_path: Path) -> None:
    """Missing, not parquet, or other columns: each is named."""
    path = tmp_path / "a.parquet"
    with pytest.raises(DataError, match="is missing"):
        utterances.read(path)
    path.write_bytes(b"no")
    with pytest.raises(DataError, match="no parquet"):
        utterances.read(path)
    pd.DataFrame({"id": ["a"]}).to_parquet(path)
    with pytest.raises(DataError, match=r"columns \['id'\] instead of"):
        utterances.read(path)
    data = path.read_bytes()
    for damaged in (data.replace(b"id", b"\xff\xff"), data[:20] + bytes(20) + data[40:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="no parquet"):
            utterances.read(path)


def test_times_in_a_text_are_no_part_of_it(make_shard: MakeShard) -> None:
    """In Whisper's notation; each sentence is cleaned, and together they are the text."""
    written = {
        "a": "<|0.00|>【葵】「はい」<|0.20|>\n<|0.24|> <b>Yes</b><|0.40|><|0.4|><i><|0.5|>\n",
        "b": "<|0.00|>はい。",
        "c": "はい。<|0.00|>はい。<|0.20|>",
    }
    files = {f"{name}.txt": text.encode() for name, text in written.items()}
    files |= {f"{name}.ogg": tone(0.5, 200.0 + ord(name)) for name in written}
    params = dataclasses.replace(PARAMS, clean={"vn": ("speaker", "tags")})
    rows, counts = indexed(make_shard(files), params)
    assert rows["text"].tolist() == ["「はい」 Yes", written["b"], written["c"]]
    assert [row["text"] for row in rows["sentences"][0]] == ["「はい」", " Yes"]
    assert [(row["start_s"], row["end_s"]) for row in rows["sentences"][0]] == [
        (0, 0.2),
        (0.24, 0.4),
    ]
    assert rows["sentences"][1:].tolist() == [None, None]
    assert counts["flags"]["text_markup"] == 3
