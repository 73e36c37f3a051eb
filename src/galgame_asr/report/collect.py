"""Computing the report's figures from the tables of scored utterances."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from galgame_asr.core.paths import DEV_SAMPLE
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.messages.errors import DataError
from galgame_asr.report.comparison import compare
from galgame_asr.report.confusions import Confusions, confusions
from galgame_asr.report.results import (
    GROUPS,
    TITLES,
    Comparison,
    Group,
    Rate,
    Results,
    Scored,
    Variant,
)
from galgame_asr.scoring.summary import fractions, summarise

# The scored utterances of each variant, in the order of the report.
Tables = Mapping[Variant, pd.DataFrame]
UNCOUNTED = Confusions([], [], [])


def collect(tables: Tables, curriculum: Curriculum) -> list[Results]:
    """Results of each test set that has utterances, in domain first.

    Raises:
        DataError: two variants of the present revision have other utterances.
    """
    found = []
    samples = {v: part_of(table, DEV_SAMPLE) for v, table in tables.items()}
    _refuse_other_utterances(DEV_SAMPLE, samples)
    dev = {v: _dev(part) for v, part in samples.items()}
    for name in TITLES:
        parts = {v: part_of(table, name) for v, table in tables.items()}
        present = {v: part for v, part in parts.items() if v.revision is None}
        if any(len(part) for part in present.values()):
            _refuse_other_utterances(name, parts)
            found.append(_results(name, parts, dev, curriculum))
    return found


def _dev(part: pd.DataFrame) -> float | None:
    """The capped CER of the dev sample; None without one, as in tables of older revisions."""
    errors, characters = fractions(part)["cer_capped"]
    whole = characters.sum()
    return float(errors.sum() / whole) if whole else None


def summarised(directory: Path, curriculum: Curriculum) -> list[Results]:
    """Results as far as the summaries of metrics/variants hold them: no comparison, no confusions.

    Args:
        directory: with CHECKPOINT-PROMPT.json.
        curriculum: the checkpoints and prompts.

    Raises:
        DataError: a summary is missing.
    """
    variants = [Variant(*names) for names in curriculum.variants()]
    summaries = {variant: _read(directory / f"{variant.name}.json") for variant in variants}
    found = []
    for name in TITLES:
        parts = {v: sets[name] for v, sets in summaries.items() if name in sets}
        if parts:
            first = next(iter(parts.values()))
            scored = [
                of_summary(v, part, dev=summaries[v].get(DEV_SAMPLE, {}).get("cer_capped"))
                for v, part in parts.items()
            ]
            counts = (first["utterances"], first["characters"])
            found.append(Results(name, *counts, scored, {}, [], [], [], {}))
    return found


def _read(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"{path} does not exist; `dvc repro` writes it")
    return json.loads(path.read_text(encoding="utf-8"))


def part_of(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The utterances of one set, sorted by id."""
    return table[table["set"] == name].sort_values("id", ignore_index=True)


def _refuse_other_utterances(name: str, parts: Tables) -> None:
    (first, expected), *others = ((v, p) for v, p in parts.items() if v.revision is None)
    for variant, part in others:
        if not part["id"].equals(expected["id"]):
            raise DataError(
                f"set {name}: {variant.name} has other utterances ({len(part)}) than "
                f"{first.name} ({len(expected)}); `dvc repro` scores them again"
            )


def _results(
    name: str, parts: Tables, dev: Mapping[Variant, float | None], curriculum: Curriculum
) -> Results:
    present = [v for v in parts if v.revision is None]
    first = curriculum.prompts[0]
    previous = {
        v: (v, Variant(before, v.prompt if v.prompt in curriculum.prompts_of(before) else first))
        for v in present
        if (before := curriculum.previous(v.checkpoint)) is not None
    }
    phases = [
        (phase, (Variant(last, prompt), Variant(init, prompt)))
        for phase, init, last in curriculum.phases()
        for prompt in curriculum.prompts
    ]
    prompts = [
        (v, Variant(v.checkpoint, own))
        for v in present
        if v.prompt != (own := curriculum.prompts_of(v.checkpoint)[0])
    ]
    # The end of a phase is among both, and drawing resamples takes time.
    wanted = dict.fromkeys([*previous.values(), *(pair for _, pair in phases), *prompts])
    comparisons = {pair: _compare(*pair, parts) for pair in wanted}
    part = parts[present[0]]
    return Results(
        name=name,
        utterances=len(part),
        characters=int(part["characters"].sum()),
        scored=[
            of_summary(v, summarise(part), confusions(part), dev=dev[v])
            for v, part in parts.items()
            if len(part)
        ],
        previous={v: comparisons[pair] for v, pair in previous.items()},
        phases=[(phase, comparisons[pair]) for phase, pair in phases],
        prompts=[comparisons[pair] for pair in prompts],
        revision=_against_revision(parts),
        corpora=_by_corpus(previous.values(), parts),
    )


def _by_corpus(
    pairs: Iterable[tuple[Variant, Variant]], parts: Tables
) -> dict[str, dict[Variant, Comparison]]:
    """Each pair on each corpus alone, where there are several."""
    corpora = sorted({corpus for part in parts.values() for corpus in part["corpus"].unique()})
    if len(corpora) < 2:
        return {}
    return {
        corpus: {
            new: _compare(new, old, {v: parts[v][parts[v]["corpus"] == corpus] for v in (new, old)})
            for new, old in pairs
        }
        for corpus in corpora
    }


def of_summary(
    variant: Variant,
    summary: Mapping[str, Any],
    confused: Confusions = UNCOUNTED,
    *,
    dev: float | None = None,
) -> Scored:
    """What `summarise` found of a variant on one test set, and its capped CER on dev."""
    return Scored(
        variant=variant,
        utterances=summary["utterances"],
        characters=summary["characters"],
        substitutions=summary["substitutions"],
        deletions=summary["deletions"],
        insertions=summary["insertions"],
        cer=_rate(summary, "cer"),
        capped=_rate(summary, "cer_capped"),
        dev=dev,
        kana=_rate(summary, "cer_kana"),
        wer=_rate(summary, "wer"),
        sentences=_rate(summary, "sentence_accuracy"),
        classes={name: found["cer"] or 0.0 for name, found in summary["breakdown"].items()},
        flags={name: found["utterances"] for name, found in summary["flags"].items()},
        groups={
            title: [
                # A kind reads better without underscores; the name of a corpus is looked up.
                Group(
                    group if section == "by_corpus" else group.replace("_", " "),
                    found["utterances"],
                    _rate(found, "cer"),
                )
                for group, found in summary.get(section, {}).items()
                if found["utterances"]
            ]
            for section, title in GROUPS.items()
        },
        confusions=confused,
    )


def _rate(summary: Mapping[str, Any], name: str) -> Rate | None:
    """A rate and its bounds, as a summary names them."""
    if summary[name] is None:
        return None
    return Rate(summary[name], summary[f"{name}_low"], summary[f"{name}_high"])


def _compare(variant: Variant, against: Variant, parts: Tables) -> Comparison:
    return compared(variant, against, parts[variant], parts[against])


def compared(
    variant: Variant, against: Variant, new: pd.DataFrame, old: pd.DataFrame
) -> Comparison:
    """A variant against another, both with the same utterances of one set.

    Raises:
        DataError: as for `compare`.
    """
    found = compare(old, new)
    capped = found["cer_capped"]
    return Comparison(
        variant,
        against,
        utterances=found["utterances"],
        change=None
        if capped["difference"] is None
        else Rate(capped["difference"], capped["low"], capped["high"]),
        p=capped["p"],
        decision=found["decision"],
        detectable=capped["detectable"],
    )


def _against_revision(parts: Tables) -> list[Comparison]:
    """Each present variant against the same one of the other revision."""
    found = []
    for old in parts:
        new = Variant(old.checkpoint, old.prompt)
        if old.revision is not None and new in parts:
            both = common(parts[new], parts[old])
            if len(both[0]):
                found.append(compared(new, old, *both))
    return found


def common(new: pd.DataFrame, old: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The utterances that are in both tables, with the same reference."""
    new, old = new.set_index("id"), old.set_index("id")
    ids = new.index.intersection(old.index)
    ids = ids[new.loc[ids, "truth"].to_numpy() == old.loc[ids, "truth"].to_numpy()]
    return new.loc[ids].reset_index(), old.loc[ids].reset_index()
