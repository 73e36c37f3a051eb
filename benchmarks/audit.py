"""What an audit finds of labels that `corrupt_labels` made wrong, and what it flags beside them.

A corpus of kind `synthetic` is what it is without that key, but for the labels, so that the truth
about each is known. After `dvc repro audit@CORPUS`, such as in profile `audit`:

    python -m benchmarks.audit [CORPUS] [--correct]
"""

import argparse
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from statistics import NormalDist

import pandas as pd

from galgame_asr.auditing import compare
from galgame_asr.auditing.params import FlagSeverities
from galgame_asr.core.params import load
from galgame_asr.core.paths import AUDIT
from galgame_asr.corpora.synthetic import fetch
from galgame_asr.corpora.synthetic.labels import WAYS, corrupt
from galgame_asr.corpora.synthetic.params import Synthetic
from galgame_asr.manifests import corrections

BOUNDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
Z = NormalDist().inv_cdf(0.975)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", nargs="?", default="vn")
    parser.add_argument(
        "--correct",
        action="store_true",
        help="write to corrections/CORPUS.tsv what a person would who listens to what is flagged",
    )
    options = parser.parse_args()
    corpus = load(Synthetic, f"corpora.{options.corpus}")
    right = {line.id: line.text for line in fetch.compose(replace(corpus, corrupt_labels=0.0))}
    wrong = corrupt(right, corpus.corrupt_labels, corpus.seed)
    rows = compare.read(AUDIT / f"{options.corpus}.parquet")
    effects = asdict(load(FlagSeverities, "audit.severity"))
    drops = {flag for flag, effect in effects.items() if effect == "drop"}
    flagged = rows["flags"].map(lambda flags: not drops.isdisjoint(flags))
    ways = {id_: one.way for id_, one in wrong.items()}
    print("\n".join(table(rows, flagged, ways)))
    print("\n".join(sweep(rows, ways)))
    proposals = rows[rows["proposal"].notna()]
    pairs = zip(proposals["id"], proposals["proposal"], strict=True)
    same = sum(text == right[id_] for id_, text in pairs)
    print(f"proposals: {len(proposals)}, of which the truth in every letter {same}")
    if options.correct:
        for row in rows[flagged].to_dict("records"):
            correct(options.corpus, str(row["id"]), row["label"], right[str(row["id"])])


def correct(corpus: str, id_: str, label: str, truth: str) -> None:
    """Add a decision about one label: another text, or that it is right."""
    what: corrections.What = "keep" if label == truth else "text"
    text = truth if what == "text" else ""
    line = corrections.Correction(
        id_, what, label, text, "benchmarks.audit", corrections.now(), "audit"
    )
    corrections.append(corrections.path_of(corpus), line)


def table(rows: pd.DataFrame, flagged: "pd.Series[bool]", ways: Mapping[str, str]) -> Iterator[str]:
    """Lines of Markdown: of each kind of label, how many are flagged, with 95% intervals."""
    way = rows["id"].map(dict(ways))
    yield "| labels | of them flagged | share |"
    yield "|---|---|---|"
    yield _line("wrong", flagged[way.notna()])
    for name in WAYS:
        yield _line(f"{name}", flagged[way == name])
    yield _line("right", flagged[way.isna()])


def sweep(rows: pd.DataFrame, ways: Mapping[str, str]) -> Iterator[str]:
    """Lines of Markdown: found and falsely found by other thresholds of `disagrees` alone."""
    way = rows["id"].map(dict(ways))
    models = len(rows["kana_cer"].iloc[0])
    yield (
        "| kana CER above | "
        + " | ".join(f"{who}: wrong | right" for who in (["the first"] + ["both"] * (models > 1)))
        + " |"
    )
    yield "|---|" + "---|---|" * models
    for bound in BOUNDS:
        cells = []
        for number in range(1, models + 1):
            figures = compare.least(rows["kana_cer"].map(lambda cers, n=number: cers[:n]))
            cells += [f"{(figures > bound)[kind].mean():.1%}" for kind in (way.notna(), way.isna())]
        yield f"| {bound} | {' | '.join(cells)} |"


def _line(name: str, flagged: "pd.Series[bool]") -> str:
    found, total = int(flagged.sum()), len(flagged)
    low, high = wilson(found, total)
    return f"| {name} | {found} of {total} | {found / max(total, 1):.1%} ({low:.1%}–{high:.1%}) |"


def wilson(found: int, total: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927), which also few and none have one of."""
    if not total:
        return 0.0, 1.0
    share, z2 = found / total, Z * Z / total
    middle = (share + z2 / 2) / (1 + z2)
    spread = Z * math.sqrt(share * (1 - share) / total + z2 / total / 4) / (1 + z2)
    return max(middle - spread, 0.0), min(middle + spread, 1.0)


if __name__ == "__main__":
    main()
