"""Two variants on the same utterances: the difference of their rates, and which is better."""

from typing import Any

import pandas as pd

from galgame_asr.errors import DataError
from galgame_asr.scoring import confidence
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
    comparison: dict[str, Any] = {"utterances": len(first), "decision": "undecided"}
    others = fractions(second)
    for name, (errors, lengths) in fractions(first).items():
        differences = others[name][0] - errors
        bounds = confidence.interval(differences, lengths, seed=seed, resamples=resamples)
        test = confidence.matched_pairs(errors, others[name][0])
        if name == "cer_capped":
            comparison["decision"] = confidence.decide(bounds)
        comparison[name] = {
            "difference": bounds and rounded(differences.sum() / lengths.sum()),
            "low": bounds and rounded(bounds.low),
            "high": bounds and rounded(bounds.high),
            "z": test and rounded(test.z),
            "p": test and rounded(test.p),
            "detectable_difference": rounded(
                confidence.detectable_difference(differences, lengths)
            ),
        }
    return comparison
