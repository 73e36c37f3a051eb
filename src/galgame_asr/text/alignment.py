"""Errors of each utterance, by a shortest alignment of characters."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

OPERATIONS = ("replace", "delete", "insert")


def utterance_counts(truth: Sequence[str], heard: Sequence[str]) -> NDArray[np.int64]:
    """Substitutions, deletions and insertions of each utterance, one row for each.

    The alignment is that of jiwer.process_characters, which calls the same function but
    takes several times as long and as much memory (`python -m benchmarks.scoring`).

    Args:
        truth: normalised references.
        heard: normalised transcripts, in the same order.
    """
    counts = np.zeros((len(truth), len(OPERATIONS)), np.int64)
    for row, (reference, hypothesis) in enumerate(zip(truth, heard, strict=True)):
        if reference != hypothesis:
            edits = [edit.tag for edit in Levenshtein.editops(reference, hypothesis)]
            counts[row] = [edits.count(operation) for operation in OPERATIONS]
    return counts
