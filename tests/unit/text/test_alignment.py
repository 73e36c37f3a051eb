"""Errors per utterance are those of jiwer, the public judge."""

import random

import jiwer
import pytest

from galgame_asr.text.alignment import utterance_counts


def test_by_hand() -> None:
    """Substitutions, deletions, insertions; one row for each utterance."""
    counts = utterance_counts(
        ["葵が好き", "おはよう", "うん", "", "はい"], ["凛が好き", "おは", "うんうん", "え", ""]
    )
    assert counts.tolist() == [[1, 0, 0], [0, 2, 0], [0, 0, 2], [0, 0, 1], [0, 2, 0]]
    assert utterance_counts([], []).shape == (0, 3)
    with pytest.raises(ValueError, match="argument"):
        utterance_counts(["はい"], [])


def test_agrees_with_jiwer() -> None:
    """Each utterance, each kind of error, and the rate to the last digit."""
    draw = random.Random(0)
    truth, heard = (
        ["".join(draw.choices("あいうー葵a", k=draw.randint(0, 12))) for _ in range(20_000)]
        for _ in "ab"
    )
    counts = utterance_counts(truth, heard)
    judged = jiwer.process_characters(truth, heard)
    assert counts.sum(axis=0).tolist() == [
        judged.substitutions, judged.deletions, judged.insertions,
    ]  # fmt: skip
    assert counts.sum() / sum(map(len, truth)) == jiwer.cer(truth, heard)
    for row in range(0, len(truth), 100):
        single = jiwer.process_characters(truth[row], heard[row])
        assert counts[row].tolist() == [single.substitutions, single.deletions, single.insertions]
