"""Labels held against what models hear: figures of each row, flags, and proposals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from galgame_asr.auditing.params import FLAGS, FlagSeverities, Threshold, Thresholds
from galgame_asr.core import tables
from galgame_asr.core.reader import ShardReader
from galgame_asr.messages.console import Progress
from galgame_asr.messages.errors import DataError, UtteranceError
from galgame_asr.scoring.words import Words
from galgame_asr.text.normalise import normalise
from galgame_asr.text.params import NormaliseParams

if TYPE_CHECKING:  # it needs torch, which those who read an audit do not
    from galgame_asr.decoding.segments import Detector

Floats = NDArray[np.float64]

# One row per utterance, sorted by id. Lists have an item for each model, in the order of
# audit.checkpoints.
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.string()),
        ("hypotheses", pa.list_(pa.string())),
        # Errors of the hypothesis by kana of the label; 1 where the label has none.
        ("kana_cer", pa.list_(pa.float64())),
        # Kana of the label by kana heard; missing where none are heard.
        ("length_ratio", pa.list_(pa.float64())),
        # Of a token of the hypothesis, natural logarithm; missing where a runtime does not tell.
        ("log_prob", pa.list_(pa.float64())),
        # How the label fits, as in `LabelFit`; missing without a CTC branch.
        ("label_log_prob", pa.list_(pa.float64())),
        ("lead_s", pa.list_(pa.float64())),
        ("tail_s", pa.list_(pa.float64())),
        ("flags", pa.list_(pa.string())),
        # What two models hear alike and the label does not say; missing elsewhere.
        ("proposal", pa.string()),
    ]
)
DIGITS = 4  # of figures
SHOWN = 5  # ids named in a message
FITS = ("label_log_prob", "lead_s", "tail_s")
# Where the bars of histograms begin; the last has no end.
PROBABLE = (-100.0, -3.0, -2.0, -1.0, -0.5, -0.3, -0.2, -0.1, -0.05, -0.02, -0.01)
SILENCES = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
EDGES = {
    "kana_cer": (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0),
    "length_ratio": (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0, 4.0),
    "log_prob": PROBABLE,
    "label_log_prob": PROBABLE,
    "lead_s": SILENCES,
    "tail_s": SILENCES,
}


def compare(
    labels: pd.DataFrame,
    heard: Sequence[pd.DataFrame],
    rules: NormaliseParams,
    words: Words,
) -> pd.DataFrame:
    """Figures and proposals, as in SCHEMA but for the flags.

    Args:
        labels: columns id and text, sorted by id.
        heard: of each model, what `hearing.hear` wrote of the same rows.
        rules: how both sides are normalised.
        words: the analyser of readings.

    Raises:
        DataError: a model heard other rows.
    """
    for table in heard:
        if not np.array_equal(table["id"], labels["id"]):
            raise DataError("what was heard is of other rows; `dvc repro` hears them again")
    with Progress("audit", total=len(labels), unit="utterances") as progress:
        texts = zip(*(table["text"] for table in heard), strict=True)
        rows = []
        for label, hypotheses in zip(labels["text"], texts, strict=True):
            rows.append(_compare(label, hypotheses, rules, words))
            progress.update(1)
    log_probs = [table["log_prob"] / table["tokens"].clip(lower=1) for table in heard]
    return pd.DataFrame(rows).assign(
        id=labels["id"],
        label=labels["text"],
        log_prob=np.round(np.column_stack(log_probs).astype(float), DIGITS).tolist(),
        **{
            name: np.column_stack([table[name] for table in heard]).astype(float).tolist()
            for name in FITS
        },
    )


def _compare(
    label: str, hypotheses: Sequence[str], rules: NormaliseParams, words: Words
) -> dict[str, Any]:
    truth, *heard = (words.kana(normalise(text, rules)) for text in (label, *hypotheses))
    errors = [Levenshtein.distance(truth, kana) for kana in heard]
    agree = len(heard) > 1 and len(set(heard)) == 1 and heard[0] not in ("", truth)
    return {
        "hypotheses": list(hypotheses),
        "kana_cer": [round(number / len(truth), DIGITS) if truth else 1.0 for number in errors],
        "length_ratio": [
            round(len(truth) / len(kana), DIGITS) if kana else np.nan for kana in heard
        ],
        "proposal": hypotheses[0] if agree else None,
    }


def flag(rows: pd.DataFrame, thresholds: Thresholds) -> tuple[pd.DataFrame, dict[str, float]]:
    """Which rows have each flag that a threshold decides, and the bounds as values.

    A row is beyond a bound where it is in what every model hears.

    Returns:
        a column of booleans for each threshold, and the bound of each.
    """
    figures = {
        "disagrees": least(rows["kana_cer"]),
        # Shorter than what any model hears: the largest ratio counts.
        "label_short": _each(rows["length_ratio"], np.max),
        "label_long": least(rows["length_ratio"]),
    }
    bounds = {
        name: _bound(figures[name], threshold)
        for name, threshold in ((name, getattr(thresholds, name)) for name in figures)
    }
    flags = {
        name: values < bounds[name] if name == "label_short" else values > bounds[name]
        for name, values in figures.items()
    }
    return pd.DataFrame(flags, index=rows.index), bounds


def least(lists: "pd.Series[Any]") -> Floats:
    """The least of each list of figures; NaN where one is in it."""
    return _each(lists, np.min)


def _each(lists: "pd.Series[Any]", chosen: Callable[[Any], Any]) -> Floats:
    return np.array([chosen(values) for values in lists], dtype=np.float64)


def _bound(figures: Floats, threshold: Threshold) -> float:
    if threshold.quantile is None:
        assert threshold.value is not None  # one of them is there
        return threshold.value
    known = figures[~np.isnan(figures)]
    return round(float(np.quantile(known, threshold.quantile)), DIGITS) if len(known) else 0.0


def without_speech(
    rows: pd.DataFrame, reader: ShardReader, detector: "Detector"
) -> NDArray[np.bool_]:
    """In which utterances a detector hears no speech, or nothing can be read.

    Args:
        rows: of a table of utterances.
        reader: reads their audio.
        detector: asked of each.

    Raises:
        DataError: a shard is missing.
    """
    found = []
    with Progress("speech", total=len(rows), unit="utterances") as progress:
        for row in rows.to_dict("records"):
            try:
                found.append(not detector.hears(reader.read_row(row)))
            except UtteranceError:
                found.append(True)
            progress.update(1)
    return np.array(found, bool)  # also where no row is asked about


def listed(flags: pd.DataFrame) -> list[list[str]]:
    """The names of each row's flags, in the order of FLAGS."""
    return [
        [name for name, is_one in zip(FLAGS, values, strict=True) if is_one]
        for values in flags[list(FLAGS)].to_numpy().tolist()
    ]


def refuse_failed(rows: pd.DataFrame, severities: FlagSeverities) -> None:
    """Stop where a row has a flag of severity `fail`.

    Raises:
        DataError: one has; the message names rows.
    """
    fatal = {name for name, effect in asdict(severities).items() if effect == "fail"}
    failed = rows[[not fatal.isdisjoint(flags) for flags in rows["flags"]]]
    if len(failed):
        shown = ", ".join(failed["id"][:SHOWN])
        raise DataError(
            f"{len(failed)} labels have a flag that must not occur ({', '.join(sorted(fatal))}): "
            f"{shown}; correct or exclude them, or set audit.severity to drop or warn"
        )


def counts(
    rows: pd.DataFrame, checkpoints: Sequence[str], bounds: Mapping[str, float]
) -> dict[str, Any]:
    """What git keeps of an audit: how many rows have each flag, and how the figures lie."""
    flags = [flag for own in rows["flags"] for flag in own]
    return {
        "utterances": len(rows),
        "flagged": int((rows["flags"].map(len) > 0).sum()),
        "flags": {name: flags.count(name) for name in FLAGS},
        "proposals": int(rows["proposal"].notna().sum()),
        "thresholds": dict(bounds),
        "histograms": {
            name: {"from": list(edges), "utterances": _histograms(rows[name], checkpoints, edges)}
            for name, edges in EDGES.items()
        },
    }


def _histograms(
    lists: "pd.Series[Any]", checkpoints: Sequence[str], edges: tuple[float, ...]
) -> dict[str, list[int]]:
    values = np.array(lists.tolist(), dtype=np.float64).reshape(len(lists), len(checkpoints))
    bars = [*edges, np.inf]
    return {
        checkpoint: np.histogram(own[~np.isnan(own)], bars)[0].tolist()
        for checkpoint, own in zip(checkpoints, values.T, strict=True)
    }


def write(path: Path, rows: pd.DataFrame) -> None:
    """Write an audit, with the columns of SCHEMA."""
    tables.write(path, rows[SCHEMA.names], SCHEMA)


def read(path: Path) -> pd.DataFrame:
    """Read an audit.

    Raises:
        DataError: as for `tables.read`.
    """
    return tables.read(path, SCHEMA)
