"""One row per utterance, with counts that agree with other tools and with each other."""

from pathlib import Path

import jiwer
import pandas as pd
import pytest

from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import DataError
from galgame_asr.scoring import scored
from galgame_asr.scoring.scored import CLASSES, SCHEMA
from galgame_asr.scoring.utterances import score
from galgame_asr.scoring.words import Words
from galgame_asr.text.params import NormaliseParams

PAIRS = {
    "a": ("わたしは、図書館に行く。", "私は図書館に行く"),
    "b": ("校則違反だよ！", "拘束違反"),
    "c": ("……", "えっ"),
    "d": ("はぁ、はぁ……", "はぁ、はぁ"),
    "e": ("2人で行こう", "二人で行こう"),
    "f": ("あの日のことを覚えていますか", "あの日のことを" * 9),
    "g": ("", ""),
}
REFERENCES = pd.DataFrame(
    [(id_, "vn", 2.5, pair[0]) for id_, pair in PAIRS.items()],
    columns=["id", "corpus", "duration_s", "text"],
)
HYPOTHESES = {f"vn/{id_}": Transcript(pair[1], 7, -0.5) for id_, pair in PAIRS.items()}


@pytest.fixture(scope="module")
def words() -> Words:
    return Words()


@pytest.fixture(scope="module")
def rows(words: Words) -> pd.DataFrame:
    return score("test", REFERENCES, HYPOTHESES, NormaliseParams(), words)


def test_a_row_by_hand(rows: pd.DataFrame) -> None:
    """Raw and normalised texts, counts and marks of one utterance."""
    row = rows.iloc[1].to_dict()
    expected = {
        "set": "test",
        "id": "vn/b",
        "reference": "校則違反だよ！",
        "truth": "校則違反だよ",
        "heard": "拘束違反",
        "tokens": 7,
        "log_prob": -0.5,
        "characters": 6,
        "substitutions": 2,
        "deletions": 2,
        "insertions": 0,
        "kana_errors": 2,
        "edits_homophone": 2,
        "edits_deletion": 2,
        "is_truncated": False,
    }
    assert {name: row[name] for name in expected} == expected


def test_counts_agree_with_jiwer(rows: pd.DataFrame) -> None:
    """Substitutions, deletions and insertions are jiwer's, and the classes share them out."""
    found = jiwer.process_characters(rows["truth"].tolist(), rows["heard"].tolist())
    for name in ("substitutions", "deletions", "insertions"):
        assert rows[name].sum() == getattr(found, name)
    errors = rows[["substitutions", "deletions", "insertions"]].sum(axis=1)
    assert (rows[[f"edits_{name}" for name in CLASSES]].sum(axis=1) == errors).all()
    same = rows["truth"] == rows["heard"]
    assert (rows[same][["kana_errors", "word_errors"]] == 0).all(axis=None)
    assert rows["is_loop"].tolist() == [id_ == "vn/f" for id_ in rows["id"]]


def test_spelling_is_no_error_of_kana_and_words(rows: pd.DataFrame) -> None:
    """わたし and 私 are three edits of characters, and the same sound and word."""
    row = rows.iloc[0]
    assert (row["edits_spelling"], row["kana_errors"], row["word_errors"]) == (3, 0, 0)


def test_the_table_is_what_is_read_back(rows: pd.DataFrame, tmp_path: Path) -> None:
    """Types too, and without rows as well; the order of the references does not matter."""
    path = tmp_path / "scored.parquet"
    for table in (rows, rows[:0]):
        scored.write(path, table)
        pd.testing.assert_frame_equal(scored.read(path), table.reset_index(drop=True))
    assert list(rows.columns) == SCHEMA.names


def test_the_order_of_references_does_not_matter(rows: pd.DataFrame, words: Words) -> None:
    """Rows are sorted by id; no references make no rows."""
    backwards = score("test", REFERENCES[::-1], HYPOTHESES, NormaliseParams(), words)
    pd.testing.assert_frame_equal(backwards, rows)
    assert score("test", REFERENCES[:0], {}, NormaliseParams(), words).empty


def test_ids_must_match(words: Words) -> None:
    """A missing, extra or repeated utterance is an error, not another set."""
    rules = NormaliseParams()
    with pytest.raises(DataError, match="1 transcripts are unexpected: vn/g; decode again"):
        score("test", REFERENCES[:-1], HYPOTHESES, rules, words)
    fewer = {id_: HYPOTHESES[id_] for id_ in sorted(HYPOTHESES)[2:]}
    with pytest.raises(DataError, match="2 transcripts are missing: vn/a, vn/b; decode again"):
        score("test", REFERENCES, fewer, rules, words)
    with pytest.raises(DataError, match=r"7 references stand twice: vn/a.*split again"):
        score("test", pd.concat([REFERENCES] * 2), HYPOTHESES, rules, words)
