"""A manifest has a row for every utterance, and says what is wrong with it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from galgame_asr import manifest
from galgame_asr.audio.index import index, quality
from galgame_asr.audio.reader import ShardReader
from galgame_asr.errors import DataError
from galgame_asr.params import parse
from galgame_asr.params.manifest import FlagSeverity, ManifestParams
from galgame_asr.split import usable
from tests.conftest import tone

MakeShard = Callable[..., Path]
DROP = parse(
    FlagSeverity, {field.name: "drop" for field in dataclasses.fields(FlagSeverity)}, "severity"
)
PARAMS = ManifestParams(min_duration_s=0.2, max_duration_s=2.0, severity=DROP)
GOOD = {"a.ogg": tone(0.5), "a.txt": "葵、おはよう。\n".encode()}


def flags(shard: Path) -> dict[str, list[str]]:
    rows = index("vn", shard.parent, PARAMS)
    return dict(zip(rows["id"], map(list, rows["flags"]), strict=True))


def test_a_good_utterance_has_a_complete_row(make_shard: MakeShard) -> None:
    """The row leads back to the audio, and the text is trimmed."""
    shard = make_shard(GOOD)
    (row,) = index("vn", shard.parent, PARAMS).to_dict("records")
    assert row["text"] == "葵、おはよう。"
    assert row["flags"] == []
    assert row["duration_s"] == 0.5
    assert len(ShardReader(shard.parents[1]).read_row(row)) == 8000


@pytest.mark.parametrize(
    ("files", "flag"),
    [
        ({"b.txt": b""}, "unpaired"),
        ({"b.ogg": tone(0.5)}, "unpaired"),
        ({"b.ogg": b"<html>", "b.txt": "はい".encode()}, "audio_unreadable"),
        ({"b.ogg": tone(0.1), "b.txt": "はい".encode()}, "too_short"),
        ({"b.ogg": tone(2.1), "b.txt": "はい".encode()}, "too_long"),
        ({"b.ogg": tone(0.5), "b.txt": "…。　\n".encode()}, "text_empty"),
    ],
)
def test_each_fault_is_flagged(make_shard: MakeShard, files: dict[str, bytes], flag: str) -> None:
    """The bad row stays, with its reason; the good one beside it has none."""
    found = flags(make_shard(GOOD | files))
    assert found["a"] == []
    assert flag in found["b"]


def test_an_id_in_two_shards_is_flagged_twice(make_shard: MakeShard) -> None:
    """Neither copy may be used: nobody knows which is right."""
    make_shard(GOOD)
    shard = make_shard(GOOD, shard="vn-000001.tar")
    rows = index("vn", shard.parent, PARAMS)
    assert rows["flags"].tolist() == [["duplicate_id"], ["duplicate_id"]]


def test_severities(make_shard: MakeShard) -> None:
    """Drop excludes, warn keeps, fail stops with the utterance named; counts tell all."""
    shard = make_shard(GOOD | {"b.ogg": tone(0.5), "b.txt": b"..."})
    rows = index("vn", shard.parent, PARAMS)
    assert rows[usable(rows, DROP)]["id"].tolist() == ["a"]
    assert usable(rows, dataclasses.replace(DROP, text_empty="warn")).all()
    counts = quality(rows, PARAMS)
    assert (counts["utterances"], counts["usable"], counts["flags"]["text_empty"]) == (2, 1, 1)
    strict = dataclasses.replace(PARAMS, severity=dataclasses.replace(DROP, text_empty="fail"))
    with pytest.raises(DataError, match=r"vn/vn-000000\.tar b: text_empty \(text '\.\.\.'\)"):
        index("vn", shard.parent, strict)


def test_a_missing_or_cut_shard_is_an_error(make_shard: MakeShard) -> None:
    """A shard less is not a smaller corpus, and an empty folder is not an empty one."""
    first, second = make_shard(GOOD), make_shard({"b.ogg": tone(0.5)}, shard="vn-000001.tar")
    data = second.read_bytes()
    second.write_bytes(data[:-512])
    with pytest.raises(DataError, match=rf"vn-000001.tar has {len(data) - 512} bytes instead of"):
        index("vn", first.parent, PARAMS)
    second.unlink()
    with pytest.raises(DataError, match=r"vn-000001\.tar has no bytes instead of .*`dvc checkout`"):
        index("vn", first.parent, PARAMS)
    (first.parent / "shards.tsv").unlink()
    with pytest.raises(DataError, match=r"shards\.tsv is missing"):
        index("vn", first.parent, PARAMS)


def test_tables_come_back_equal_and_with_equal_bytes(make_shard: MakeShard, tmp_path: Path) -> None:
    """Parquet round trip; the same rows give the same file."""
    rows = index("vn", make_shard(GOOD).parent, PARAMS)
    for name in ("a", "b"):
        manifest.write(tmp_path / f"{name}.parquet", rows)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    again = manifest.read(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(
        again.drop(columns="flags"), rows.drop(columns="flags"), check_dtype=False
    )


def test_a_damaged_table_is_an_error(tmp_path: Path) -> None:
    """Missing, not parquet, or other columns: each is named."""
    path = tmp_path / "a.parquet"
    with pytest.raises(DataError, match="is missing"):
        manifest.read(path)
    path.write_bytes(b"no")
    with pytest.raises(DataError, match="no parquet"):
        manifest.read(path)
    pd.DataFrame({"id": ["a"]}).to_parquet(path)
    with pytest.raises(DataError, match=r"columns \['id'\] instead of"):
        manifest.read(path)
