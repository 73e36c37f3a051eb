"""Rates of one variant on one test set, as plain values for a JSON file.

A rate stands beside the bounds of its interval: `cer`, `cer_low`, `cer_high`. All three are null
where there is nothing to divide by.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from galgame_asr.scoring import compute_wer, confidence
from galgame_asr.scoring.confidence import Counts
from galgame_asr.scoring.scored import CLASSES, FLAGS, NAMES
from galgame_asr.scoring.scripts import KANJI, LATIN_OR_DIGIT

DIGITS = 4  # of a rate: a hundredth of a point
EDITS = ("substitutions", "deletions", "insertions")
DURATIONS = {  # seconds, the upper end excluded
    "under_2_s": (0, 2),
    "2_to_5_s": (2, 5),
    "5_to_10_s": (5, 10),
    "10_to_20_s": (10, 20),
    "from_20_s": (20, np.inf),
}

# Errors and lengths of each utterance.
Fraction = tuple[Counts, Counts]
# A section of the summary and a name in it.
Key = tuple[str, str]
Mask = npt.NDArray[np.bool_]  # of rows
# A rate with the bounds of its interval; None where there is nothing to divide by.
Bounded = tuple[float | None, float | None, float | None]
UNDEFINED: Bounded = (None, None, None)


def summarise(
    rows: pd.DataFrame, *, seed: int = 0, resamples: int = confidence.RESAMPLES
) -> dict[str, Any]:
    """Counts and rates of scored utterances.

    Args:
        rows: columns of scored.SCHEMA, of one variant and one set, in any order.
        seed: of the intervals.
        resamples: of the intervals.
    """
    rows = rows.sort_values("id", ignore_index=True)  # resampling draws rows by their place
    groups = _groups(rows)
    summary, bounded = _counted(rows, groups, seed, resamples)
    # What the seed's scorer prints for these texts.
    seed_counts = compute_wer.count(zip(rows["truth"], rows["heard"], strict=True))
    summary["cer_seed"] = rounded(seed_counts.overall.rate)
    summary["compute_wer"] = dict(line.split(" -> ") for line in str(seed_counts).splitlines())
    summary["suspect_labels"] = rows["id"][rows["is_suspect_label"].astype(bool)].tolist()
    errors, characters = fractions(rows)["cer"]
    for (section, name), mask in groups.items():
        summary.setdefault(section, {})[name] = {
            "utterances": int(mask.sum()),
            "characters": int(characters[mask].sum()),
            "errors": int(errors[mask].sum()),
            **_named("cer", bounded[section, name]),
        }
    return summary | _names(rows, seed, resamples) | _by_group(rows, seed, resamples)


def _names(rows: pd.DataFrame, seed: int, resamples: int) -> dict[str, Any]:
    """Recall and precision of names, and false ones per utterance; nothing if none were counted."""
    if NAMES[0] not in rows:
        return {}
    said, found, heard = (_column(rows, column) for column in NAMES)
    bounded = _bounded(
        {
            ("names", "recall"): (found, said),
            ("names", "precision"): (found, heard),
            ("names", "false_per_utterance"): (heard - found, np.ones_like(said)),
        },
        seed,
        resamples,
    )
    counts = {"said": int(said.sum()), "found": int(found.sum()), "heard": int(heard.sum())}
    rates = [_named(name, rate) for (_, name), rate in bounded.items()]
    return {"names": {**counts, **rates[0], **rates[1], **rates[2]}}


def _by_group(rows: pd.DataFrame, seed: int, resamples: int) -> dict[str, Any]:
    """Each group's CER, and the mean over groups: `macro`; nothing where no row has a group."""
    if "group" not in rows or rows["group"].isna().all():
        return {}
    rates = fractions(rows)
    errors, characters = rates["cer"]
    found: dict[str, Any] = {}
    means: dict[str, list[float]] = {"cer": [], "cer_capped": []}
    for name, places in sorted(rows.groupby("group").indices.items()):
        whole = int(characters[places].sum())
        bounds = confidence.interval(
            errors[places], characters[places], seed=seed, resamples=resamples, whole=len(rows)
        )
        rate = (errors[places].sum() / whole, bounds.low, bounds.high) if bounds else UNDEFINED
        found[str(name)] = {
            "utterances": len(places),
            "characters": whole,
            "errors": int(errors[places].sum()),
            **_named("cer", rate),
        }
        for kind in means if whole else ():
            means[kind].append(rates[kind][0][places].sum() / whole)
    macro: dict[str, Any] = {
        "groups": len(means["cer"]),
        "utterances": int(rows["group"].notna().sum()),
        "without_group": int(rows["group"].isna().sum()),
    }
    for kind, values in means.items():
        bounds = confidence.mean_interval(np.array(values), seed=seed, resamples=resamples)
        mean = sum(values) / len(values) if values else None
        low, high = (bounds.low, bounds.high) if bounds else (None, None)
        macro |= _named(kind, (mean, low, high))
    return {"by_group": found, "macro": macro}


def summarise_counts(
    rows: pd.DataFrame, *, seed: int = 0, resamples: int = confidence.RESAMPLES
) -> dict[str, Any]:
    """What `summarise` says of rows without texts: all but parts of the set and the seed's figures.

    Args:
        rows: an id and counts, of one variant and one set, in any order.
        seed: of the intervals.
        resamples: of the intervals.
    """
    return _counted(rows.sort_values("id", ignore_index=True), {}, seed, resamples)[0]


def _counted(
    rows: pd.DataFrame, groups: Mapping[Key, Mask], seed: int, resamples: int
) -> tuple[dict[str, Any], dict[Key, Bounded]]:
    """What counts say of all rows; and every rate with its bounds, those of groups too."""
    rates = fractions(rows)
    errors, characters = rates["cer"]
    each = np.ones(len(rows), dtype=np.int64)
    flags = {name: (_column(rows, f"is_{name}"), each) for name in FLAGS}
    bounded = _bounded(
        {
            **{("rates", name): fraction for name, fraction in rates.items()},
            **{("flags", name): fraction for name, fraction in flags.items()},
            **{key: (errors * mask, characters * mask) for key, mask in groups.items()},
        },
        seed,
        resamples,
    )
    summary: dict[str, Any] = {"utterances": len(rows), "characters": int(characters.sum())}
    summary |= {name: int(_column(rows, name).sum()) for name in EDITS}
    for name in rates:
        summary |= _named(name, bounded["rates", name])
    summary["detectable_difference"] = rounded(
        confidence.detectable_difference(*rates["cer_capped"])
    )
    summary["breakdown"] = {
        name: _share(_column(rows, f"edits_{name}"), characters) for name in CLASSES
    }
    summary["flags"] = {
        name: {"utterances": int(marked.sum()), **_named("rate", bounded["flags", name])}
        for name, (marked, _) in flags.items()
    }
    return summary, bounded


def fractions(rows: pd.DataFrame) -> dict[str, Fraction]:
    """Errors and lengths of each rate of the whole set."""
    characters = _column(rows, "characters")
    errors = np.sum([_column(rows, name) for name in EDITS], axis=0)
    right: Counts = (errors == 0).astype(np.int64)
    each: Counts = np.ones_like(right)
    return {
        "cer": (errors, characters),
        "cer_capped": (confidence.capped(errors, characters), characters),
        "cer_kana": (_column(rows, "kana_errors"), _column(rows, "kana")),
        "wer": (_column(rows, "word_errors"), _column(rows, "words")),
        "sentence_accuracy": (right, each),
    }


def _groups(rows: pd.DataFrame) -> dict[Key, Mask]:
    """Parts of the set: which rows belong to each."""
    latin, kanji = (
        np.array([bool(script.search(text)) for text in rows["reference"]], dtype=bool)
        for script in (LATIN_OR_DIGIT, KANJI)
    )
    kanji &= ~latin
    non_verbal = _column(rows, "is_non_verbal") == 1
    seconds = rows["duration_s"].to_numpy(dtype=np.float64)
    corpora = rows["corpus"]
    return {
        ("by_speech", "verbal"): ~non_verbal,
        ("by_speech", "non_verbal"): non_verbal,
        ("by_script", "kana"): ~(latin | kanji),
        ("by_script", "kanji"): kanji,
        ("by_script", "latin_or_digits"): latin,
        **{
            ("by_duration", name): (low <= seconds) & (seconds < high)
            for name, (low, high) in DURATIONS.items()
        },
        **{
            ("by_corpus", name): (corpora == name).to_numpy(dtype=bool)
            for name in sorted(corpora.unique())
        },
    }


def _column(rows: pd.DataFrame, name: str) -> Counts:
    return rows[name].to_numpy(dtype=np.int64)


def _bounded(fractions: dict[Key, Fraction], seed: int, resamples: int) -> dict[Key, Bounded]:
    """Each rate with the bounds of its interval, from the same resamples."""
    errors, lengths = (np.column_stack(side) for side in zip(*fractions.values(), strict=True))
    found = confidence.intervals(errors, lengths, seed=seed, resamples=resamples)
    rates = zip(errors.sum(axis=0), lengths.sum(axis=0), found, strict=True)
    return {
        key: UNDEFINED if bounds is None else (part / whole, bounds.low, bounds.high)
        for key, (part, whole, bounds) in zip(fractions, rates, strict=True)
    }


def _named(name: str, bounded: Bounded) -> dict[str, float | None]:
    rate, low, high = map(rounded, bounded)
    return {name: rate, f"{name}_low": low, f"{name}_high": high}


def _share(edits: Counts, characters: Counts) -> dict[str, float | None]:
    whole = characters.sum()
    return {
        "errors": int(edits.sum()),
        "cer": rounded(edits.sum() / whole) if whole else None,
    }


def rounded(value: float | None) -> float | None:
    """A rate as it is written: the same in every run, and small in a diff."""
    return None if value is None else round(float(value), DIGITS) + 0.0  # no -0.0
