"""`galgame-asr evaluate`: what it shows, and what it refuses before any work."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from galgame_asr.cli import dispatch
from galgame_asr.core import utterances
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.families.common import compute
from galgame_asr.messages.errors import CheckpointError, ConfigError, DataError, GalgameAsrError
from galgame_asr.report import figures, markdown
from galgame_asr.report.collect import collect
from galgame_asr.report.evaluation import SUFFIXES
from galgame_asr.report.results import Variant
from galgame_asr.scoring import scored
from tests import tables
from tests.conftest import REPOSITORY

LINES = {f"{number}": text for number, text in enumerate(tables.LINES)}


def manifest(lines: dict[str, str]) -> pd.DataFrame:
    same = {
        "corpus": "vn", "shard": "vn.tar", "offset": 0, "size": 1, "duration_s": 1.0,
        "sample_rate_hz": 16_000, "audio_hash": "", "upstream_set": None, "flags": [],
    }  # fmt: skip
    return pd.DataFrame([{"id": id_, "text": text} | same for id_, text in lines.items()])


@pytest.fixture(autouse=True)
def _repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set `test` of four lines, none of `dev`, an empty `ood`; a model by its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GALGAME_ASR_SCRATCH", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shutil.copy(REPOSITORY / "params.yaml", "params.yaml")
    utterances.write(Path("data/split/test.parquet"), manifest(LINES))
    tables.manifest_without_rows(Path("data/split/ood.parquet"))
    Path("model").mkdir()
    Path("model/config.yaml").touch()

    def begin(*_arguments: object) -> None:
        pytest.fail("the work began")

    monkeypatch.setattr(compute, "set_up", begin)


def write_earlier(file: str, sets: dict[str, dict[str, str]]) -> None:
    found = {name: {id_: (t, t) for id_, t in lines.items()} for name, lines in sets.items()}
    scored.write(Path(file), tables.table(found))


def refused(kind: type[GalgameAsrError], message: str, *arguments: str) -> None:
    """One line that says this, and nothing is written."""
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    with pytest.raises(kind, match=message) as error:
        dispatch(["evaluate", *arguments])
    assert "\n" not in str(error.value)
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


@pytest.mark.parametrize(
    ("kind", "message", "arguments"),
    [
        (CheckpointError, r"^gone is no directory.*models/PHASE.*`galgame-asr scratch`", ["gone"]),
        (CheckpointError, "^data is no model directory of a known family: found split", ["data"]),
        (DataError, r"dev\.parquet is missing; `dvc repro split` makes it", ["model"]),
        (DataError, r"ood\.parquet has no utterances", ["model", "--set", "test", "ood"]),
        (ConfigError, r"no set 'tset'\. Did you mean 'test'\?", ["model", "--set", "tset"]),
        (DataError, r"^my\.parquet is missing$", ["model", "--set", "my.parquet"]),
        (
            ConfigError,
            "two sets are named test",
            ["model", "--set", "test", "data/split/test.parquet"],
        ),
        (
            ConfigError,
            r"params\.yaml has no prompt 'japan'\. Did you mean 'japanese'\?",
            ["model", "--set", "test", "--prompt", "none", "japan"],
        ),
        (ConfigError, "--limit 0: at least 1", ["model", "--set", "test", "--limit", "0"]),
    ],
)
def test_what_cannot_be_evaluated(
    kind: type[GalgameAsrError], message: str, arguments: list[str]
) -> None:
    """A message that says what to do."""
    refused(kind, message, *arguments, "--output", "new")


def test_an_utterance_that_stands_twice(tmp_path: Path) -> None:
    """In a file of one's own: before it is decoded."""
    utterances.write(tmp_path / "my.parquet", pd.concat([manifest(LINES), manifest({"1": "葵"})]))
    refused(DataError, "stand twice: vn/1", "model", "--set", "my.parquet", "--output", "new")


@pytest.mark.parametrize(
    ("message", "more"),
    [
        # PATH is a folder, or the beginning of names.
        (r"--against old has no old/none\.parquet: .* \(japanese\)", ["--against", "old"]),
        (r"--against odd has no odd-none\.parquet: .* \(it has none\)", ["--against", "odd"]),
        (
            r"old/japanese\.parquet has no set test: compare with --set dev train",
            ["--against", "old", "--prompt", "japanese"],
        ),
        (
            r"scored/base-none\.parquet has none of these 4 utterances of set test with the same",
            ["--against", "scored/base", "--prompt", "none"],
        ),
        (
            r"scored/base-none\.parquet has none of these 2 utterances",
            ["--against", "scored/base", "--prompt", "none", "--limit", "2"],
        ),
    ],
)
def test_what_cannot_be_compared(message: str, more: list[str]) -> None:
    """Results of another prompt, of another set, or of other references."""
    write_earlier("old/japanese.parquet", {"train": LINES, "dev": LINES})
    others = {id_: f"{text}葵" for id_, text in LINES.items()}
    write_earlier("scored/base-none.parquet", {"test": others, "ood": LINES})
    refused(ConfigError, message, "model", "--set", "test", "--output", "new", *more)


def test_only_an_evaluation_is_replaced(tmp_path: Path) -> None:
    """With --force alone: no model, no folder of a stage, no folder of anything else."""
    for name in (f"none{suffix}" for suffix in SUFFIXES):
        (tmp_path / "old").mkdir(exist_ok=True)
        (tmp_path / "old" / name).touch()
    (tmp_path / "link").symlink_to("old")
    there, more = "there already; --force replaces it", "holds more than an evaluation"
    for output, told, told_with_force in (
        ("old", there, None),
        ("model", there, more),
        (".", there, more),
        ("params.yaml", there, more),
        ("link", there, more),
        ("models/p50", "is in models, which is the stages'", "is in models, which is the stages'"),
        (".scratch/train@full/1", r"is in \.scratch", r"is in \.scratch"),
        ("x" * 256, "256 bytes", "256 bytes"),
        ("model/config.yaml/new", "cannot be written", "cannot be written"),
    ):
        arguments = ["model", "--set", "test", "--output", output]
        refused(ConfigError, told, *arguments)
        if told_with_force:
            refused(ConfigError, told_with_force, *arguments, "--force")
    with pytest.raises(pytest.fail.Exception, match="the work began"):
        dispatch(["evaluate", "model", "--set", "test", "--output", "old", "--force"])


def test_the_figures_are_those_of_the_report() -> None:
    """Each of report.md's row and decision, in a column for each prompt; flags by their counts."""
    (results, _) = collect(tables.tables(), tables.CURRICULUM)
    own = [s for s in results.scored if s.variant.checkpoint == "full/p100"]
    one = replace(
        results, scored=own, previous={s.variant: results.previous[s.variant] for s in own}
    )
    shown = figures.text([one])
    assert shown.startswith("full/p100, set test: 40 utterances, ")
    assert "against base, by the capped CER\n" in shown
    table = [re.split(" {2,}", line) for line in shown.splitlines()]
    columns = {row[number]: number for row in table[1:2] for number in (1, 2)}
    assert list(columns) == ["none", "japanese"]
    rows = [line for line in markdown.text([results], {}).splitlines() if "full/p100" in line]
    for prompt, number in columns.items():
        cells = {row[number] for row in table[2:] if len(row) == 3}
        figures_, decision = (
            re.split(r" ?\| ?", next(r for r in rows if r.startswith(start)))[3:-1]
            for start in (f"| full/p100 | {prompt} |", f"| full: full/p100 · {prompt} |")
        )
        assert set(figures_[1:-1]) <= cells  # without that of the dev sample
        assert {cell.strip("*") for cell in decision} <= cells
    for flag, title in (("loop", "loop"), ("truncated", "cut short")):
        (line,) = (row for row in table if row[0] == title)
        assert line[1:] == [str(s.flags[flag]) for s in own]
    assert "against" not in figures.text([replace(one, previous={})])
    assert "macro" not in shown


def test_the_mean_over_groups_is_that_of_the_report() -> None:
    """With its interval, below the CER."""
    rows = tables.tables()[Variant("base", "none")]
    found = {Variant("base", "none"): rows.assign(group=rows["id"].str[-1])}
    (results, _) = collect(found, Curriculum(("base",), ("none",), {}, {}))
    (row,) = (r for r in markdown.text([results], {}).splitlines() if "macro average**" in r)
    lines = [re.split(" {2,}", line) for line in figures.text([results]).splitlines()]
    names = [line[0] for line in lines]
    place = names.index("macro average")
    assert names[place - 2 : place + 2] == ["CER", "95% interval", "macro average", "95% interval"]
    assert [lines[place][1], lines[place + 1][1]] == row.strip("| ").split(" | ")[-2:]


def test_columns_of_japanese_names_stand_below_each_other() -> None:
    """A terminal gives a kanji two columns."""
    (results, _) = collect(tables.tables(), tables.CURRICULUM)
    first, second = (
        replace(s, variant=replace(s.variant, prompt=name))
        for s, name in zip(results.scored, ("日本語の指示文です", "b"), strict=False)
    )
    lines = figures.text([replace(results, scored=[first, second], previous={})]).splitlines()
    start = lines[1].index("b") + len("日本語の指示文です")
    assert lines[2][start - 2 : start] == "  "
    assert lines[2][start:].endswith("%")
