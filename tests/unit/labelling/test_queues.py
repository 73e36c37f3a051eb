"""Which utterances a person listens to, and in which order."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from galgame_asr.core import utterances
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.labelling import queues
from galgame_asr.messages.errors import DataError
from tests import labels, tables

COUNT = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 12 utterances, which no test changes."""
    folder = tmp_path_factory.mktemp("corpus")
    labels.make(folder, COUNT)
    return folder


@pytest.fixture(autouse=True)
def corpus(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same in the present folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(queue: str, curriculum: Curriculum = tables.CURRICULUM) -> list[queues.Item]:
    return queues.load(queue, "vn", curriculum)


def test_an_audit_shows_what_it_found(corpus: Path) -> None:
    """Proposals first, then what one model hears; of each the furthest off first."""
    labels.audit(
        corpus,
        [("0000", None, []), ("0001", None, ["disagrees"]), ("0002", "はい", ["disagrees"]),
         ("0003", None, ["disagrees", "label_short"]), ("0004", "いいえ", [])],
        off={"0001": 0.3, "0002": 0.2, "0003": 0.5, "0004": 0.4},
    )  # fmt: skip
    found = load("audit")
    assert [item.id for item in found] == ["0004", "0002", "0003", "0001"]
    assert [item.proposal for item in found] == ["いいえ", "はい", "ん0003", "ん0001"]
    assert found[1].tags == ("disagrees", "agreed")
    assert found[2].tags == ("disagrees", "label_short")
    assert found[2].note == "50% of the kana differ"
    assert {item.label for item in found} == {labels.label(n) for n in range(1, 5)}
    assert all(item.is_own for item in found)


def test_drafts_are_heard_in_their_order(corpus: Path) -> None:
    """What models wrote, until it is decided; a draft without a text has an empty label."""
    with pytest.raises(DataError, match="has no draft"):
        load("drafts")
    path = corpus / "data/manifest/vn.parquet"
    rows = pd.read_parquet(path)
    flags = [["draft", "text_missing"], ["too_short"], ["pseudo"], [], *[["draft"]] * 2]
    texts = ["", *rows["text"][1:]]
    of_all = pd.Series(flags + [[]] * (COUNT - len(flags)))
    rows.assign(flags=of_all, text=texts).to_parquet(path)
    found = load("drafts")
    assert [item.id for item in found] == ["0000", "0002", "0004", "0005"]
    assert (found[0].tags, found[0].label) == (("draft", "text_missing"), "")
    assert found[1].tags == ("pseudo",)


def test_an_audit_may_have_other_columns(corpus: Path) -> None:
    """Those that the queue needs are enough."""
    path = corpus / "data/audit/vn.parquet"
    rows = {"id": ["0002", "0001"], "proposal": ["はい", None], "flags": [[], ["odd"]], "x": [0, 1]}
    pd.DataFrame(rows).to_parquet(path)
    found = load("audit")
    assert [(item.id, item.proposal, item.tags, item.note) for item in found] == [
        ("0002", "はい", ("agreed",), ""),
        ("0001", None, ("odd",), ""),
    ]


def test_a_corrected_manifest_is_known(corpus: Path) -> None:
    """Where a label is by an earlier correction, its row says so by a column of its own."""
    path = corpus / "data/manifest/vn.parquet"
    rows = pd.read_parquet(path)
    labels = pd.Series(["は", *[None] * (COUNT - 1)], dtype=object)
    rows.assign(label=labels).to_parquet(path)
    assert {item.id for item in load("audit") if not item.is_own} == {"0000"}


def test_a_missing_audit_names_what_makes_it(corpus: Path) -> None:
    """And so does one of other columns."""
    path = corpus / "data/audit/vn.parquet"
    path.unlink()
    with pytest.raises(DataError, match=r"data/audit/vn.parquet is missing; `dvc repro audit@vn`"):
        load("audit")
    pd.DataFrame({"id": ["0001"]}).to_parquet(path)
    with pytest.raises(DataError, match="has no column proposal"):
        load("audit")
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="is no parquet file"):
        load("audit")


def test_the_random_order_is_of_the_id(corpus: Path) -> None:
    """All training rows, not in their order; what is added does not reorder the others."""
    found = [item.id for item in load("random")]
    assert sorted(found) == [f"{n:04}" for n in range(COUNT)]
    assert found != sorted(found)
    path = corpus / "data/split/train.parquet"
    rows = utterances.read(path)
    others = rows.assign(corpus="other", id="0")
    utterances.write(path, pd.concat([rows[rows["id"] < "0008"], others]))
    assert [item.id for item in load("random")] == [id_ for id_ in found if id_ < "0008"]


def test_errors_are_those_of_the_newest_variant(corpus: Path) -> None:
    """The most errors first, with the set and what the scores flag; what is right is not there."""
    heard = {"0001": labels.label(1), "0002": "ん", "0003": f"{labels.label(3)}ね"}
    labels.score(corpus, heard, "full/p100-none")
    labels.score(corpus, {"0004": "ん"}, "base-none")
    found = load("errors")
    assert [(item.id, item.proposal) for item in found] == [
        ("0002", "ん"),
        ("0003", f"{labels.label(3)}ね"),
    ]
    assert {item.tags[0] for item in found} == {"test"}
    assert found[1].note == "1 of 10 wrong"
    base = Curriculum(("base",), ("none",), {}, {})
    assert [item.id for item in load("errors", base)] == ["0004"]


def test_what_the_manifest_has_not_is_an_error(corpus: Path) -> None:
    """Of an audit of other data."""
    labels.audit(corpus, [("gone", "はい", ["disagrees"])])
    with pytest.raises(DataError, match="has not 1 utterances of the queue, such as 'gone'"):
        load("audit")


def test_a_corpus_without_training_rows_says_so(corpus: Path) -> None:
    """One that is out of domain, or held out."""
    utterances.write(
        corpus / "data/split/train.parquet",
        utterances.read(corpus / "data/split/train.parquet").iloc[:0],
    )
    with pytest.raises(DataError, match="no row of corpus vn"):
        load("random")


def test_a_queue_ends(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind MOST, so that a corpus of millions is a page too."""
    whole = [item.id for item in load("random")]
    monkeypatch.setattr(queues, "MOST", 3)
    assert [item.id for item in load("random")] == whole[:3]
    assert len(load("audit")) == 3


def test_a_queue_may_be_empty(corpus: Path) -> None:
    """Where nothing is wrong."""
    labels.score(corpus, {"0001": labels.label(1)})
    assert load("errors") == []
