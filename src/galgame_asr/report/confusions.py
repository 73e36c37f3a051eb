"""In which characters the errors of a variant lie."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from galgame_asr.report.diff import diff

TOP = 12  # confusions listed

Error = TypeVar("Error", str, tuple[str, str])


@dataclass(frozen=True)
class Confusions:
    """The most frequent errors, each with its count."""

    substitutions: Sequence[tuple[str, str, int]]  # reference, transcript
    deletions: Sequence[tuple[str, int]]
    insertions: Sequence[tuple[str, int]]


def confusions(part: pd.DataFrame, top: int = TOP) -> Confusions:
    """Count which characters are replaced, missing and added.

    Replaced characters are counted one by one, missing and added ones by the run:
    たし missing from わたし is one thing.
    """
    replaced: Counter[tuple[str, str]] = Counter()
    missing: Counter[str] = Counter()
    added: Counter[str] = Counter()
    for truth, heard in zip(part["truth"], part["heard"], strict=True):
        for span in diff(truth, heard):
            if not span.heard:
                missing[span.truth] += 1
            elif not span.truth:
                added[span.heard] += 1
            elif span.edits:
                replaced.update(zip(span.truth, span.heard, strict=True))
    return Confusions(
        [(truth, heard, count) for (truth, heard), count in _top(replaced, top)],
        _top(missing, top),
        _top(added, top),
    )


def _top(counts: Mapping[Error, int], top: int) -> list[tuple[Error, int]]:
    """Most frequent first, then by text, so that ties always stand in the same order."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]
