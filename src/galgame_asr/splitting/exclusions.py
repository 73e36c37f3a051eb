"""exclusions/CORPUS.tsv, which people keep in git: utterances that are to be in no set."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from galgame_asr.messages.errors import DataError
from galgame_asr.text.lines import lines

HEADER = "id\treason"
SHOWN = 5  # ids named in a message


def read(folder: Path, corpora: Collection[str]) -> dict[str, dict[str, str]]:
    """Read the reason of each id, by corpus; a corpus without a file has none.

    Files of other corpora are not read: they belong to other params.

    Raises:
        DataError: a file has another header, a line without a reason or an id twice; the
            message has the line's number.
    """
    return {
        corpus: _reasons(file) for corpus in corpora if (file := folder / f"{corpus}.tsv").is_file()
    }


def excluded(rows: pd.DataFrame, reasons: Mapping[str, Mapping[str, str]]) -> "pd.Series[bool]":
    """Which rows are excluded.

    Raises:
        DataError: an excluded id is none of its corpus.
    """
    for corpus, own in reasons.items():
        if unknown := sorted(set(own) - set(rows["id"][rows["corpus"] == corpus])):
            raise DataError(
                f"exclusions/{corpus}.tsv has {len(unknown)} ids that corpus {corpus} has not, "
                f"such as {', '.join(map(repr, unknown[:SHOWN]))}: correct or remove them"
            )
    pairs = zip(rows["corpus"], rows["id"], strict=True)
    found = [id_ in reasons.get(corpus, {}) for corpus, id_ in pairs]
    return pd.Series(found, index=rows.index, dtype=bool)


def _reasons(file: Path) -> dict[str, str]:
    first, *rest = lines(file.read_bytes(), str(file)) or [""]
    if first != HEADER:
        raise DataError(f"{file}:1: {first!r} is no header; write {HEADER!r}, with a tab between")
    reasons: dict[str, str] = {}
    for number, line in enumerate(rest, 2):
        if not line.strip():
            continue
        id_, _, reason = line.partition("\t")
        if not id_ or not reason.strip():
            raise DataError(f"{file}:{number}: {line!r} is no id, tab and reason")
        if id_ in reasons:
            raise DataError(f"{file}:{number}: {id_!r} has a line above already; keep one")
        reasons[id_] = reason
    return reasons
