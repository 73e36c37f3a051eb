"""When a phase no longer improves: told from its log alone, so that nothing is lost by a kill."""

from collections.abc import Mapping, Sequence
from typing import Any

History = Sequence[Mapping[str, Any]]  # the Trainer's log


def best_step(history: History) -> int:
    """The step with the lowest dev loss, the first of equals."""
    scores = _scores(history)
    return min(scores, key=scores.__getitem__)


def has_stopped(history: History, patience: int) -> bool:
    """Whether the last `patience` dev losses are no better than one before them."""
    scores = list(_scores(history))
    return bool(scores) and len(scores) - 1 - scores.index(best_step(history)) >= patience


def _scores(history: History) -> dict[int, float]:
    return {row["step"]: row["eval_loss"] for row in history if "eval_loss" in row}
