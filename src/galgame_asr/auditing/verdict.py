"""What follows from an audit: exclusions that git keeps, and lines for people."""

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from galgame_asr.auditing.compare import least
from galgame_asr.core.files import write_text
from galgame_asr.splitting import exclusions

HEADER = "id\treason\n"


def exclude(folder: Path, corpus: str, rows: pd.DataFrame, flags: Collection[str]) -> int:
    """Add rows with one of some flags to FOLDER/CORPUS.tsv; its lines stay as they are.

    Args:
        folder: exclusions, or exclusions/PHASE.
        corpus: its name.
        rows: of its audit.
        flags: that count.

    Returns:
        how many lines were added.

    Raises:
        DataError: as for `exclusions.read`.
    """
    known = exclusions.read(folder, [corpus]).get(corpus, {})
    lines = [
        f"{id_}\taudit: {', '.join(own)}\n"
        for id_, own in zip(rows["id"], rows["flags"], strict=True)
        if id_ not in known and not set(flags).isdisjoint(own)
    ]
    if lines:
        file = folder / f"{corpus}.tsv"
        text = file.read_text("utf-8") if file.exists() else HEADER
        write_text(file, text + "\n" * (not text.endswith("\n")) + "".join(lines))
    return len(lines)


def worst(rows: pd.DataFrame, most: int) -> Iterator[str]:
    """Lines about flagged rows, those first whose label is furthest from what is heard."""
    flagged = rows[rows["flags"].map(len) > 0]
    order = np.argsort(-least(flagged["kana_cer"]), kind="stable")
    for row in flagged.iloc[order[:most]].to_dict("records"):
        yield f"{row['id']}  {', '.join(row['flags'])}"
        yield f"    label  {row['label']}"
        for text, cer in zip(row["hypotheses"], row["kana_cer"], strict=True):
            yield f"    heard  {text or '(nothing)'}  ({cer:.0%})"
