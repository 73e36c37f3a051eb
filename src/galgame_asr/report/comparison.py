"""Two variants on the same utterances: the difference of their rates, and which is better."""

from typing import Any

import numpy as np
import pandas as pd

from galgame_asr.messages.errors import DataError
from galgame_asr.scoring import confidence
from galgame_asr.scoring.confidence import Counts, Interval
from galgame_asr.scoring.summary import fractions, rounded


def compare(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    seed: int = 0,
    resamples: int = confidence.RESAMPLES,
) -> dict[str, Any]:
    """Differences of the second variant from the first; negative rates of errors are better.

    The decision is by `cer_capped`, see confidence.capped.

    Args:
        first: columns of scored.SCHEMA, of one variant and one set, in any order.
        second: the same utterances of another variant.
        seed: of the intervals.
        resamples: of the intervals.

    Raises:
        DataError: the two were not scored on the same references.
    """
    first, second = (rows.sort_values("id", ignore_index=True) for rows in (first, second))
    if not first[["set", "id", "truth"]].equals(second[["set", "id", "truth"]]):
        raise DataError(
            f"the variants were scored on different references ({len(first)} and {len(second)} "
            "utterances), so no difference of them can be told; score both again"
        )
    before, after = fractions(first), fractions(second)
    differences = {name: after[name][0] - errors for name, (errors, _) in before.items()}
    bounds = confidence.intervals(
        np.column_stack(list(differences.values())),
        np.column_stack([lengths for _, lengths in before.values()]),
        seed=seed,
        resamples=resamples,
    )
    by_name = dict(zip(before, bounds, strict=True))
    comparison: dict[str, Any] = {
        "utterances": len(first),
        "decision": confidence.decide(by_name["cer_capped"]),
    }
    for name, (errors, lengths) in before.items():
        comparison[name] = _difference(differences[name], lengths, by_name[name])
        test = confidence.matched_pairs(errors, after[name][0])
        comparison[name] |= {"z": test and rounded(test.z), "p": test and rounded(test.p)}
    return comparison


def _difference(
    differences: Counts, lengths: Counts, bounds: Interval | None
) -> dict[str, float | None]:
    rate, low, high = (
        (None, None, None)
        if bounds is None
        else (differences.sum() / lengths.sum(), bounds.low, bounds.high)
    )
    return {
        "difference": rounded(rate),
        "low": rounded(low),
        "high": rounded(high),
        "detectable": rounded(confidence.detectable_difference(differences, lengths)),
    }
