"""A results file gives away counts alone, and pairs the utterances that two persons share."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from galgame_asr.cli import dispatch
from galgame_asr.core import utterances
from galgame_asr.core.params import load, read_yaml
from galgame_asr.core.paths import DECODED_SETS, RAW, SCORED, SPLIT
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.experiment.revision import State
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.report import against, results_file
from galgame_asr.report import load as report
from galgame_asr.report.collect import collect
from galgame_asr.report.results import Variant
from galgame_asr.scoring import scored
from galgame_asr.scoring.params import ScoreParams
from galgame_asr.shards import tar
from tests import tables
from tests.conftest import REPOSITORY, tone

CURRICULUM = Curriculum(("base", "full/p100"), ("none",), {"full": "base"}, {})
BASE, FULL = Variant("base", "none"), Variant("full/p100", "none")
NOWHERE = State(None, clean=False)
File = dict[str, Any]


def corpus(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The same rows as another person calls them."""
    ids = table["id"].str.removeprefix("vn/")
    return table.assign(corpus=name, id=f"{name}/line-" + ids)


def write_workspace(found: Mapping[Variant, pd.DataFrame]) -> None:
    """Scored tables, and the tables of the sets with the hash of each utterance's audio."""
    for variant, table in found.items():
        scored.write(SCORED / f"{variant.name}.parquet", table)
    tar.write(RAW / "a.tar", [("a.ogg", tone(1.0))])
    (audio,) = tar.members(RAW / "a.tar")
    (first, *_) = found.values()
    for name in DECODED_SETS:
        part = first[first["set"] == name]
        if part.empty:
            tables.manifest_without_rows(SPLIT / f"{name}.parquet")
            continue
        own = part["id"].str.split("/", n=1, expand=True)
        rows = pd.DataFrame({"id": own[1], "corpus": own[0], "text": part["reference"]})
        numbers = own[1].str.removeprefix("line-")
        rows = rows.assign(
            shard="a.tar", offset=audio.offset, size=audio.size, duration_s=1.0,
            sample_rate_hz=16_000, audio_hash=f"{name} audio " + numbers, upstream_set=None,
            flags=pd.Series([[]] * len(part), part.index, object),
        )  # fmt: skip
        utterances.write(SPLIT / f"{name}.parquet", rows)


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two variants of 12 lines in each set, and no git repository."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(REPOSITORY / "params.yaml", "params.yaml")
    write_workspace(tables.tables(CURRICULUM, utterances=12))


def export(name: str = "mine.json") -> File:
    against.export(CURRICULUM, Path(name))
    found: File = json.loads(Path(name).read_text())
    return found


def read(name: str) -> dict[Variant, pd.DataFrame]:
    path, params = Path(name), load(ScoreParams, "score")
    own = results_file.keys(report.tables(SCORED, CURRICULUM)[BASE])
    return results_file.tables(path, results_file.read(path, params), own)


def test_what_comes_back_is_what_was_scored() -> None:
    """Every count of every variant and utterance, under the ids of the workspace."""
    export()
    for variant, table in report.tables(SCORED, CURRICULUM).items():
        back = read("mine.json")[Variant(variant.checkpoint, variant.prompt, "mine")]
        columns = ["set", "id", "truth", *results_file.COLUMNS]
        order = ["set", "id"]
        expected = table[columns].sort_values(order, ignore_index=True)
        found = back[columns].sort_values(order, ignore_index=True)
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_a_row_from_a_file_has_the_figures_of_the_report() -> None:
    """Rates, bounds, classes, flags and dev, to the last digit; and no difference to itself."""
    export()
    own = report.tables(SCORED, CURRICULUM)
    for results in collect(own | read("mine.json"), CURRICULUM):
        mine, theirs = (results.find(Variant("full/p100", "none", at)) for at in (None, "mine"))
        assert mine
        assert theirs
        for name in ("utterances", "characters", "errors", "cer", "capped", "dev", "kana", "wer",
                     "sentences", "classes", "flags"):  # fmt: skip
            assert getattr(mine, name) == getattr(theirs, name), name
        assert [c.change and c.change.value for c in results.revision] == [0, 0]
        assert [c.decision for c in results.revision] == ["undecided"] * 2


def test_nothing_private_is_in_it() -> None:
    """No id, no corpus, no text, raw or normalised: numbers, hashes and the variants' names."""
    said = export()
    text = Path("mine.json").read_text()
    for column in ("id", "corpus", "reference", "hypothesis", "truth", "heard"):
        for table in report.tables(SCORED, CURRICULUM).values():
            for value in set(table[column]) - {""}:
                assert json.dumps(value)[1:-1] not in text
                assert value not in text
    assert text.isascii()
    strings = {v["checkpoint"] for v in said["variants"]} | {v["prompt"] for v in said["variants"]}
    assert strings == {"base", "full/p100", "none"}


def test_keys_depend_on_audio_and_reference_alone() -> None:
    """Not on the names of corpus and utterances; another reference is another key."""
    first = export()
    other = {v: corpus(t, "game") for v, t in tables.tables(CURRICULUM, utterances=12).items()}
    write_workspace(other)
    assert export()["variants"] == first["variants"]
    changed = {v: t.assign(truth="葵" + t["truth"]) for v, t in other.items()}
    write_workspace(changed)
    after = export()["sets"]["test"]["utterances"]
    assert not set(after) & set(first["sets"]["test"]["utterances"])


def test_rows_with_the_same_audio_and_reference_are_told_apart() -> None:
    """Two of them are two utterances, for both persons."""
    found = tables.tables(CURRICULUM, utterances=12)
    write_workspace(found)
    rows = utterances.read(SPLIT / "test.parquet")
    utterances.write(SPLIT / "test.parquet", rows.assign(audio_hash="same"))
    assert len(set(export()["sets"]["test"]["utterances"])) == 12
    read("mine.json")


def test_two_persons_share_some_rows() -> None:
    """The pairs are those with the same audio and reference; their difference is as by hand."""
    theirs = {
        variant: corpus(table[table["id"] >= "vn/0004"], "game")
        for variant, table in tables.tables(CURRICULUM, utterances=16).items()
    }
    theirs = {BASE: theirs[FULL], Variant("whisper", "none"): theirs[BASE]}
    write_workspace(theirs)
    against.export(Curriculum(("base", "whisper"), ("none",), {}, {}), Path("theirs.json"))

    shutil.rmtree(SCORED)
    mine = tables.tables(CURRICULUM, utterances=12)
    write_workspace(mine)
    (test, _) = collect(mine | read("theirs.json"), CURRICULUM)
    assert [(c.variant, c.against.name, c.utterances) for c in test.revision] == [
        (BASE, "base-none @ theirs", 8),
        # There is no whisper here, so the best here stands beside it.
        (FULL, "whisper-none @ theirs", 8),
    ]
    first, second = (
        table[(table["set"] == "test") & table["id"].str[-2:].between("04", "11")]
        for table in (mine[BASE], theirs[BASE])
    )
    errors, others = (
        part[["substitutions", "deletions", "insertions"]]
        .sum(axis=1)
        .clip(upper=part["characters"])
        for part in (first, second)
    )
    by_hand = (errors.sum() - others.sum()) / first["characters"].sum()
    assert len(first) == 8
    change = test.revision[0].change
    assert change
    assert change.value == pytest.approx(by_hand, abs=5e-5)
    assert by_hand != 0

    said = against.write("theirs.json", CURRICULUM, Path("page.html"))
    page = Path("page.html").read_text()
    assert "whisper @ theirs" in page
    assert "Against theirs" in page
    assert said == [
        "page.html: 1 of 2 variants are in theirs.json too, 1 more stand beside the best here",
        "theirs.json: commit unknown; another dev_sample, another test, another ood",
        "In domain (test): 8 of 12 utterances in common",
        "Out of domain (ood): 8 of 12 utterances in common",
    ]


def _damaged(change: Callable[[File], object]) -> None:
    content = export()
    change(content)
    Path("mine.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("kind", "message", "change"),
    [
        (ConfigError, "has version 2, and this galgame-asr reads version 1",
         lambda f: f.update(version=2, new_key=[])),
        (ConfigError, r"settings: score\.normalise\.elongation is 'collapse' there and 'keep' here",
         lambda f: f["score"]["normalise"].update(elongation="collapse")),
        (ConfigError, r"score\.dictionary is '20200101' there",
         lambda f: f["score"].update(dictionary="20200101")),
        (ConfigError, r"score\.normalise\.small_kana is True there and None here",
         lambda f: f["score"]["normalise"].update(small_kana=True)),
        (DataError, "no results file; `galgame-asr report --export", lambda f: f.pop("format")),
        (DataError, r"damaged: sets\.test\.utterances\.3: .*pattern",
         lambda f: f["sets"]["test"]["utterances"].__setitem__(3, "vn/0003")),
        (DataError, "set test has an utterance twice", lambda f: f["sets"]["test"][
            "utterances"].__setitem__(3, f["sets"]["test"]["utterances"][2])),
        (DataError, "has a variant twice", lambda f: f["variants"].append(f["variants"][0])),
        (DataError, "variant base-none has sets",
         lambda f: f["variants"][0]["counts"].pop("ood")),
        (DataError, r"set test: columns \['words'\] are missing or unknown",
         lambda f: f["variants"][0]["counts"]["test"].pop("words")),
        (DataError, "set ood has not 12 numbers per column",
         lambda f: f["variants"][0]["counts"]["ood"]["words"].pop()),
        (DataError, "damaged: .*words.*greater than or equal to 0, and 1 more fault",
         lambda f: f["variants"][0]["counts"]["ood"].update(words=[-1, -2] + [1] * 10)),
        (DataError, "damaged: variants.0.checkpoint", lambda f: f["variants"][0].update(
            checkpoint="<b>")),
        (DataError, "1 utterances of test have other numbers of characters",
         lambda f: f["variants"][0]["counts"]["test"]["characters"].__setitem__(0, 99)),
        (DataError, "has no utterance of the test sets here", lambda f: [
            part.update(utterances=[f"{n:032x}" for n in range(12)]) for part in f["sets"].values()
        ]),
    ],
)  # fmt: skip
def test_what_cannot_be_compared(
    kind: type[Exception], message: str, change: Callable[[File], object]
) -> None:
    """One message of one line, which names the file and what is wrong; no page is written."""
    _damaged(change)
    with pytest.raises(kind, match=message) as error:
        against.write("mine.json", CURRICULUM, Path("page.html"))
    assert str(error.value).startswith("mine.json ")
    assert "\n" not in str(error.value)
    assert not Path("page.html").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"null", b"[" * 100_000])
def test_a_file_that_is_something_else(content: bytes) -> None:
    """Also half of a results file, and one that is not there."""
    export()
    for data in (content, Path("mine.json").read_bytes()[:500]):
        Path("other.json").write_bytes(data)
        with pytest.raises(DataError, match=r"^other\.json is no results file"):
            against.write("other.json", CURRICULUM, Path("page.html"))
    with pytest.raises(DataError, match=r"^gone\.json cannot be read: No such file"):
        against.write("gone.json", CURRICULUM, Path("page.html"))


def test_a_scored_utterance_without_audio() -> None:
    """It has no key, so nothing is written."""
    rows = utterances.read(SPLIT / "test.parquet")
    utterances.write(SPLIT / "test.parquet", rows.iloc[2:])
    with pytest.raises(DataError, match=r"test\.parquet has no audio hash of 2 of 12 scored"):
        export()
    assert not Path("mine.json").exists()


def test_variants_with_other_utterances() -> None:
    """As the report does, the file refuses them: its numbers are of one list of utterances."""
    table = scored.read(SCORED / "full/p100-none.parquet")
    scored.write(SCORED / "full/p100-none.parquet", table.iloc[1:])
    with pytest.raises(DataError, match=r"full/p100-none has other utterances \(11\) than base"):
        export()


def test_settings_that_were_changed_since() -> None:
    """What stands in params.yaml is not what made the scores, by dvc.lock: neither way."""
    export()
    values = read_yaml(Path("params.yaml"))["score"]
    values["normalise"]["elongation"] = "collapse"
    lock = {"stages": {"score": {"params": {"params.yaml": {"score": values}}}}}
    Path("dvc.lock").write_text(json.dumps(lock))
    message = r"^data/scored was made by .*elongation is 'collapse' in dvc\.lock and 'keep' here"
    with pytest.raises(ConfigError, match=message):
        export("new.json")
    assert not Path("new.json").exists()
    with pytest.raises(ConfigError, match=message):
        against.write("mine.json", CURRICULUM, Path("page.html"))
    values["normalise"]["elongation"] = "keep"
    del values["groups"]  # as in an older lock, and without influence
    Path("dvc.lock").write_text(json.dumps(lock))
    export("new.json")


def test_where_the_results_come_from() -> None:
    """The commit, whether something was changed after it, and the tables as dvc.lock names them."""
    found = export()
    assert (found["commit"], found["changed"]) == (None, True)
    for command in (
        "git init --quiet", "git config user.email test@example.org", "git config user.name Test",
        "git add params.yaml", "git commit --quiet --message params",
    ):  # fmt: skip
        subprocess.run(command.split(), check=True)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    found = export()
    assert (found["commit"], found["changed"]) == (commit, False)
    said = against.write("mine.json", CURRICULUM, Path("page.html"))
    assert said[1] == (
        f"mine.json: commit {commit}; the same dev_sample, the same test, the same ood"
    )
    assert said[2] == "In domain (test): 12 of 12 utterances in common"
    with Path("params.yaml").open("a") as file:
        file.write("# more\n")
    assert export()["changed"] is True


def test_options_that_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    """Refused before anything is written."""
    with pytest.raises(ConfigError, match="--output names the page of --compare"):
        dispatch(["report", "--export", "a.json", "--output", "b.json"])
    with pytest.raises(ConfigError, match=r"a\.tsv: the name of a results file ends in \.json"):
        dispatch(["report", "--export", "a.tsv"])
    for arguments in ([], ["--export", "a.json", "--compare", "HEAD"]):
        with pytest.raises(SystemExit):
            dispatch(["report", *arguments])
        capsys.readouterr()
