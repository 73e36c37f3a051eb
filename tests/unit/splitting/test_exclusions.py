"""Utterances that people leave out are in no set, whatever else is said of them."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from galgame_asr.messages.errors import DataError
from galgame_asr.splitting.exclusions import read
from galgame_asr.splitting.split import LEFT_OUT, Checks, split
from tests.unit.splitting.test_split import PARAMS, checks, placed_in, rows, sets_of

__all__ = ["checks"]  # the fixture


def write(folder: Path, text: str) -> Path:
    (folder / "vn.tsv").write_text(text)
    return folder


def test_excluded_rows_are_in_no_set_and_nothing_else_moves(checks: Checks, tmp_path: Path) -> None:
    """Of every set, with the reason among their flags."""
    data = rows(200, checks)
    before = sets_of(data.copy(), checks)
    out = [next(id_ for id_, name in before.items() if name == s) for s in ("train", "dev", "test")]
    text = "".join(f"{id_}\twrong text\n" for id_ in out)
    excluded = read(write(tmp_path, f"id\treason\n{text}"), ["vn", "reading"])
    parts, counts = split(data, PARAMS, dataclasses.replace(checks, excluded=excluded))
    assert placed_in(parts) == before | dict.fromkeys(out, LEFT_OUT)
    assert parts[LEFT_OUT]["flags"].tolist() == [["excluded"]] * 3
    assert counts[LEFT_OUT]["vn"]["utterances"] == 3


def test_an_excluded_row_frees_its_twin(checks: Checks, tmp_path: Path) -> None:
    """A leak that a person has solved is none."""
    data = rows(200, checks)
    placed = sets_of(data.copy(), checks)
    of = {name: data.index[data["id"].map(placed) == name][0] for name in ("train", "test")}
    data.loc[of["train"], "audio_hash"] = data.loc[of["test"], "audio_hash"]
    with pytest.raises(DataError, match="1 leaks"):
        split(data.copy(), PARAMS, checks)
    reasons = {"vn": {data.loc[of["test"], "id"]: "said twice"}}
    parts, _ = split(data, PARAMS, dataclasses.replace(checks, excluded=reasons))
    assert data.loc[of["train"], "id"] in set(parts["train"]["id"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"vn\.tsv:1: '' is no header"),
        ("id,reason\na,b\n", r"vn\.tsv:1: 'id,reason' is no header; write 'id\\treason'"),
        ("id\treason\na\n", r"vn\.tsv:2: 'a' is no id, tab and reason"),
        ("id\treason\na\t \n", r"vn\.tsv:2: 'a\\t ' is no id, tab and reason"),
        ("id\treason\na\tx\n\na\ty\n", r"vn\.tsv:4: 'a' has a line above already"),
    ],
)
def test_a_file_that_says_less_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """By its line."""
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, text), ["vn"])


def test_an_id_that_is_not_there_is_refused(checks: Checks) -> None:
    """Else a typing error would leave the utterance in."""
    wrong = dataclasses.replace(checks, excluded={"vn": {"vn1": "x"}})
    with pytest.raises(
        DataError, match=r"exclusions/vn\.tsv has 1 ids that corpus vn has not.*vn1"
    ):
        split(rows(100, checks), PARAMS, wrong)


def test_files_of_people(tmp_path: Path) -> None:
    """With CRLF and a byte order mark; another corpus's file and no file are nothing."""
    (tmp_path / "vn.tsv").write_bytes("\ufeffid\treason\r\n台詞 1\t雑音\r\n".encode())
    (tmp_path / "other.tsv").write_text("of other params")
    assert read(tmp_path, ["vn", "reading"]) == {"vn": {"台詞 1": "雑音"}}
    assert read(tmp_path / "none", ["vn"]) == {}


def test_a_row_says_nothing_of_a_corpus_without_a_file(checks: Checks) -> None:
    """Nor is anything read of it."""
    data = pd.concat([rows(100, checks), rows(100, checks, "reading")], ignore_index=True)
    excluded = {"vn": {data["id"][0]: "x"}}
    parts, _ = split(data, PARAMS, dataclasses.replace(checks, excluded=excluded))
    assert parts[LEFT_OUT]["id"].tolist() == [data["id"][0]]
