"""exclusions/CORPUS.tsv, which people keep in git: utterances that are to be in no set.

And exclusions/PHASE/CORPUS.tsv: those that one phase alone leaves out.
"""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from galgame_asr.core.paths import EXCLUSIONS
from galgame_asr.splitting import lists
from galgame_asr.splitting.lists import Lists


def read(folder: Path, corpora: Collection[str]) -> dict[str, dict[str, str]]:
    """Read the reason of each id, by corpus.

    Raises:
        DataError: as for `lists.read`.
    """
    return lists.read(folder, corpora, "reason")


def excluded(rows: pd.DataFrame, reasons: Lists) -> "pd.Series[bool]":
    """Which rows are excluded.

    Raises:
        DataError: an excluded id is none of its corpus.
    """
    lists.refuse_unknown(EXCLUSIONS, reasons, rows)
    return named(rows, reasons)


def named(rows: pd.DataFrame, reasons: Lists) -> "pd.Series[bool]":
    """Which rows stand in the lists; what else stands there is of other rows."""
    pairs = zip(rows["corpus"], rows["id"], strict=True)
    found = [id_ in reasons.get(corpus, {}) for corpus, id_ in pairs]
    return pd.Series(found, index=rows.index, dtype=bool)
