"""Error counts are right, and nothing is scored twice or left out."""

import json
import random
from pathlib import Path

import pytest
from galgame_asr.scoring.cer import count_errors

from galgame_asr.decoding import transcripts
from galgame_asr.decoding.transcript import Transcript
from galgame_asr.errors import DataError
from galgame_asr.scoring.counts import ErrorCounts
from galgame_asr.text.normalise import normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("葵、おはよう。", "葵おはよう"),
        ("すご〜い！", "すごーい"),
        ("ＯＫ、ｶﾞﾝﾊﾞﾚ…♪", "okガンバレ"),
        ("ん…　えへへ", "んえへへ"),
        ("か\u3099", "が"),
        ("。、！？", ""),
    ],
)
def test_normalising_keeps_what_is_heard(text: str, expected: str) -> None:
    """Letters and numbers stay, in one form; a second pass changes nothing."""
    assert normalise(text) == expected
    assert normalise(expected) == expected


def test_counts_by_hand() -> None:
    """One substitution, one deletion, two insertions in ten characters."""
    references = {"a": "葵が好き", "b": "おはよう。", "c": "うん"}
    hypotheses = {"a": "凛が好き", "b": "おはよ", "c": "うんうん"}
    counts = count_errors(references, hypotheses)
    assert counts == ErrorCounts(
        utterances=3, characters=10, substitutions=1, deletions=1, insertions=2
    )
    assert counts.cer == 0.4


def _distance(a: str, b: str) -> int:
    """Levenshtein distance by the textbook table."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


def test_counts_agree_with_the_textbook() -> None:
    """On random pairs: the sum is the edit distance, and lengths account for the rest."""
    draw = random.Random(0)
    for _ in range(300):
        a, b = ("".join(draw.choices("あいうえ", k=draw.randint(0, 12))) for _ in range(2))
        if not a:
            continue
        counts = count_errors({"u": a}, {"u": b})
        assert counts.errors == _distance(a, b)
        assert counts.deletions - counts.insertions == len(a) - len(b)


def test_an_empty_reference_counts_insertions() -> None:
    """Text invented for silence is an error; silence for silence is none."""
    counts = count_errors({"a": "…", "b": "はい"}, {"a": "うそ", "b": "はい"})
    assert (counts.insertions, counts.characters) == (2, 2)


@pytest.mark.parametrize(
    ("hypotheses", "message"),
    [
        ({"a": "x"}, "1 transcripts are missing: b"),
        ({"a": "x", "b": "y", "c": "z"}, "1 transcripts are unexpected: c"),
    ],
)
def test_ids_must_match(hypotheses: dict[str, str], message: str) -> None:
    """A missing or extra utterance is an error, not a smaller set."""
    with pytest.raises(DataError, match=message):
        count_errors({"a": "はい", "b": "うん"}, hypotheses)
    with pytest.raises(DataError, match="nothing to score"):
        count_errors({"a": "…"}, {"a": ""})


def test_transcripts_round_trip(tmp_path: Path) -> None:
    """Raw text survives, line separators included; a repeated id or damage is an error."""
    path = tmp_path / "t.jsonl"
    decoded = {"test": {"b": "二\u2028行", "a": ""}, "ood": {"a": '"'}}
    transcripts.write(
        path,
        {
            name: {id_: Transcript(text, 3, -0.25) for id_, text in texts.items()}
            for name, texts in decoded.items()
        },
    )
    assert transcripts.read(path) == decoded
    assert json.loads(path.read_text().splitlines()[0])["log_prob"] == -0.25
    path.write_text(path.read_text() * 2)
    with pytest.raises(DataError, match="repeats utterance a of set ood"):
        transcripts.read(path)
    path.write_text('{"set": "test"}\n')
    with pytest.raises(DataError, match=r"t\.jsonl:1 is no transcript"):
        transcripts.read(path)
