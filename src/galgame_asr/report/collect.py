"""Computing the report's figures from the tables of scored utterances."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
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
    MOST_GROUPS,
    NAMED,
    TITLES,
    Comparison,
    Group,
    Macro,
    Names,
    Rate,
    Results,
    Scored,
    Variant,
)
from galgame_asr.scoring.summary import fractions, summarise, summarise_counts

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
    refuse_other_utterances(DEV_SAMPLE, samples)
    dev = {v: _dev(part) for v, part in samples.items()}
    for name in TITLES:
        parts = {v: part_of(table, name) for v, table in tables.items()}
        present = {v: part for v, part in parts.items() if v.revision is None}
        if any(len(part) for part in present.values()):
            refuse_other_utterances(name, parts)
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


def refuse_other_utterances(name: str, parts: Tables) -> None:
    """Refuse variants of the present revision that have other utterances of a set than the first.

    Raises:
        DataError: one has.
    """
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
    found = Results(
        name=name,
        utterances=len(part),
        characters=int(part["characters"].sum()),
        scored=[_scored(v, part, dev[v]) for v, part in parts.items() if len(part)],
        previous={v: comparisons[pair] for v, pair in previous.items()},
        phases=[(phase, comparisons[pair]) for phase, pair in phases],
        prompts=[comparisons[pair] for pair in prompts],
        revision=[],
        corpora=_by_corpus(previous.values(), parts),
    )
    return replace(found, revision=_against_others(parts, found.best))


def _scored(variant: Variant, part: pd.DataFrame, dev: float | None) -> Scored:
    if "heard" in part:
        return of_summary(variant, summarise(part), confusions(part), dev=dev)
    return of_summary(variant, summarise_counts(part), dev=dev)  # of a results file


def _by_corpus(
    pairs: Iterable[tuple[Variant, Variant]], parts: Tables
) -> dict[str, dict[Variant, Comparison]]:
    """Each pair on each corpus alone, where there are several."""
    present = (part for variant, part in parts.items() if variant.revision is None)
    corpora = sorted({corpus for part in present for corpus in part["corpus"].unique()})
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
            title: _groups(section, summary[section])
            for section, title in GROUPS.items()
            if section in summary
        },
        confusions=confused,
        macro=_macro(summary.get("macro")),
        names=_names(summary.get("names")),
    )


def _groups(section: str, summary: Mapping[str, Any]) -> list[Group]:
    """The parts of a set that have utterances; those of `score.groups` by their size."""
    found = [
        # A kind reads better without underscores; what people named is looked up.
        Group(
            name if section in NAMED else name.replace("_", " "),
            part["utterances"],
            _rate(part, "cer"),
        )
        for name, part in summary.items()
        if part["utterances"]
    ]
    if section != "by_group":
        return found
    return sorted(found, key=lambda group: (-group.utterances, group.name))[:MOST_GROUPS]


def _names(summary: Mapping[str, Any] | None) -> Names | None:
    if summary is None:
        return None
    counts = (summary[name] for name in ("said", "found", "heard"))
    rates = ("recall", "precision", "false_per_utterance")
    return Names(*counts, *(_rate(summary, name) for name in rates))


def _macro(summary: Mapping[str, Any] | None) -> Macro | None:
    if summary is None:
        return None
    cer = _rate(summary, "cer") if summary["groups"] > 1 else None
    return Macro(summary["groups"], summary["utterances"], summary["without_group"], cer)


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


def _against_others(parts: Tables, best: Scored | None) -> list[Comparison]:
    """The present variant of the same name against each of the other results.

    Where there is none of that name, as another person has other phases, the best.
    """
    found = []
    for old in parts:
        same = Variant(old.checkpoint, old.prompt)
        new = same if same in parts else best and best.variant
        if old.revision is not None and new:
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
