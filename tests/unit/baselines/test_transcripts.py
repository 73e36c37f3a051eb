"""What some other program wrote is a row of the report, or an error that names the ids."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from galgame_asr.baselines.transcripts import formats
from galgame_asr.core import utterances
from galgame_asr.decoding.transcripts import keys
from galgame_asr.messages.errors import ConfigError, DataError
from tests.unit.baselines.conftest import Run

FILE = "theirs.txt"
ENTRY: dict[str, Any] = {"kind": "transcripts", "path": FILE, "format": "kaldi"}


def pairs(run: Run) -> dict[str, str]:
    """The references by CORPUS/ID."""
    rows = pd.concat(run.sets.values())
    return dict(zip(keys(rows), rows["text"], strict=True))


def write(texts: dict[str, str]) -> None:
    Path(FILE).write_text("".join(f"{id_} {text}\n" for id_, text in texts.items()))


def test_a_file_is_a_row_of_the_report(run: Run) -> None:
    """With decisions against the newest checkpoint, figures for DVC, and no trace once it goes."""
    write(pairs(run) | {"vn/u3": ""})
    said = run.decode("theirs", ENTRY)
    assert list(said) == ["none"]
    assert said["none"]["test"]["vn/u3"].text == ""
    assert said["none"]["ood"]["reading/u9"].text == pairs(run)["reading/u9"]
    text = run.report()
    test, ood = (line for line in text.splitlines() if line.startswith("| theirs | none | 0.00%"))
    assert "| 75.00% |" in test
    assert ", base |" in test
    assert "| **better** −" in ood
    rates = json.loads(Path("metrics/cer.json").read_text())
    # One of four is missing, of the others base has a character too many each.
    assert rates == {
        "base-none": pytest.approx(4 / 23, abs=1e-4),
        "base-japanese": pytest.approx(4 / 23, abs=1e-4),
        "theirs-none": pytest.approx(5 / 23, abs=1e-4),
    }
    assert "theirs-none" in Path("metrics/cer.csv").read_text()
    assert "theirs" in Path("metrics/report.html").read_text()
    run.edit(lambda values: values.update(baselines={}))
    assert "theirs" not in run.report()
    assert not list(Path("data/decoded/theirs").iterdir())


def test_an_id_alone_is_enough_where_one_corpus_has_it(run: Run) -> None:
    """Other programs know the names of files; where two corpora share one, both are named."""
    write({id_.partition("/")[2]: text for id_, text in pairs(run).items()})
    assert run.decode("theirs", ENTRY)["none"]["test"]["vn/u4"].text == pairs(run)["vn/u4"]
    rows = run.sets["ood"].assign(id=["u3", "u8", "u9"])
    write({f"u{number}": "え" for number in (0, 1, 2, 3, 4, 5, 6, 8, 9)})
    utterances.write(Path("data/split/ood.parquet"), rows)
    with pytest.raises(DataError, match=r"1 ids are of several corpora: u3; write CORPUS/ID"):
        run.decode("theirs", ENTRY)


def test_ids_that_are_missing_too_many_or_twice(run: Run) -> None:
    """Each is said by name and number; a missing one is an empty text only if params say so."""
    texts = pairs(run)
    del texts["vn/u3"], texts["vn/u4"], texts["reading/u8"]
    write(texts)
    said = (
        "2 of 4 utterances of set test are missing: vn/u3, vn/u4; "
        "1 of 3 utterances of set ood are missing: reading/u8"
    )
    with pytest.raises(DataError, match=said):
        run.decode("theirs", ENTRY)
    assert not Path("data/decoded/theirs").exists()
    found = run.decode("theirs", ENTRY | {"missing": "empty"})["none"]
    assert found["test"]["vn/u3"].text == found["ood"]["reading/u8"].text == ""
    write(pairs(run) | {f"vn/x{number}": "え" for number in range(7)})
    with pytest.raises(DataError, match=r"theirs.txt: 7 ids are of no utterance .* vn/x4, …;"):
        run.decode("theirs", ENTRY)
    with Path(FILE).open("w") as stream:
        stream.writelines(f"{id_} {text}\n" for id_, text in pairs(run).items())
        stream.write("vn/u3 え\nu4 え\n")  # the second by its id alone
    with pytest.raises(DataError, match=r"2 ids stand twice: vn/u3, vn/u4; keep one line"):
        run.decode("theirs", ENTRY)
    Path(FILE).unlink()
    with pytest.raises(DataError, match=r"theirs.txt cannot be read: No such file"):
        run.decode("theirs", ENTRY)


def test_every_format_gives_the_same(tmp_path: Path) -> None:
    """Ids, texts with spaces, U+2028 and nothing in them, whoever wrote the file."""
    texts = [("vn/a", "今日は OK です"), ("b", "え\u2028え"), ("c", "")]
    files = {
        "tsv": "\ufefftext\tduration\tid\r\n"
        + "".join(f"{text}\t1.5\t{id_}\r\n" for id_, text in texts),
        "jsonl": "".join(
            json.dumps({"set": "test", "id": id_, "text": text}) + "\n" for id_, text in texts
        ),
        "kaldi": "".join(f"{id_}\t{text}\n" for id_, text in texts),
    }
    for name, content in files.items():
        assert formats.READERS[name](content.encode(), name) == texts, name
    assert formats.tsv("b\tえ\n".encode(), "x") == [("b", "え")]


def test_what_compute_wer_prints_is_read(tmp_path: Path) -> None:
    """The program itself aligns two files; its hypotheses are those of the file."""
    pytest.importorskip("compute_wer", reason="extra seed")
    theirs = {"a": "今日はいい天気", "b": "OK GOOGLEです", "c": ""}
    for name, texts in {
        "ref": {"a": "今日はいい", "b": "OK です", "c": "え"},
        "hyp": theirs,
    }.items():
        lines = [f"{id_} {text}\n" for id_, text in texts.items()]
        (tmp_path / name).write_text("".join(lines))
    program = Path(sys.executable).parent / "compute-wer"
    subprocess.run([program, "ref", "hyp", "out"], cwd=tmp_path, check=True)
    assert dict(formats.compute_wer((tmp_path / "out").read_bytes(), "out")) == theirs


@pytest.mark.parametrize(
    ("format_", "content", "message"),
    [
        ("tsv", "a\tb\nc\n", "x:2 has 1 columns"),
        ("jsonl", '{"id": "a"}\n', r"x:1 is no object with id and text: KeyError\('text'\)"),
        ("jsonl", '{"id": 1, "text": "え"}\n', "x:1 is no object"),
        ("jsonl", "[" * 99999 + "\n", "x:1 is no object"),
        ("compute_wer", "hyp: え\n", "x:1 is a hypothesis without"),
        ("compute_wer", "utt: a\nutt: b\n", "x:2: utterance a above has no hyp"),
        ("compute_wer", "a え\n", "x is not what compute-wer prints"),
    ],
)
def test_a_damaged_file_names_the_line(format_: str, content: str, message: str) -> None:
    """And what it lacks."""
    with pytest.raises(DataError, match=message):
        formats.READERS[format_](content.encode(), "x")
    with pytest.raises(DataError, match="x line 1 is not UTF-8"):
        formats.READERS[format_]("今日\n".encode("cp932"), "x")


def test_a_name_that_is_taken_is_refused(run: Run) -> None:
    """Of a checkpoint's folder, of another variant; and one that no path can hold."""
    write(pairs(run))
    run.decode("full", ENTRY)
    with pytest.raises(ConfigError, match=r"baselines\.full has the name of a checkpoint"):
        run.report()
    run.edit(lambda values: values.update(baselines={"a b": ENTRY}))
    with pytest.raises(ConfigError, match="baselines has the name 'a b'"):
        run.report()
    run.edit(lambda values: values.update(baselines={"x": ENTRY | {"prompts": {"a b": {}}}}))
    with pytest.raises(ConfigError, match=r"baselines\.x\.prompts has the name 'a b'"):
        run.report()
    run.edit(lambda values: values.update(baselines={"x": {"kind": "theirs"}}))
    with pytest.raises(ConfigError, match="transcripts"):
        run.decode("y", {"kind": "theirs"})
