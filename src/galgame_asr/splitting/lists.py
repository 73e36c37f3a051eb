"""FOLDER/CORPUS.tsv, which people keep in git: of some ids of a corpus a word each."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from galgame_asr.messages.errors import DataError
from galgame_asr.text.lines import lines

SHOWN = 5  # ids named in a message

# By corpus and id.
Lists = Mapping[str, Mapping[str, str]]


def read(folder: Path, corpora: Collection[str], column: str) -> dict[str, dict[str, str]]:
    """Read what stands beside each id, by corpus; a corpus without a file has none.

    Files of other corpora are not read: they belong to other params.

    Args:
        folder: with CORPUS.tsv.
        corpora: those of params.
        column: the head of the second column; of the first it is `id`.

    Raises:
        DataError: a file has another header, a line with one of the two alone or an id twice; the
            message has the line's number.
    """
    return {
        corpus: _by_id(file, column)
        for corpus in corpora
        if (file := folder / f"{corpus}.tsv").is_file()
    }


def refuse_unknown(folder: Path, lists: Lists, rows: pd.DataFrame) -> None:
    """Refuse an id that is none of its corpus.

    Raises:
        DataError: there is one.
    """
    for corpus, own in lists.items():
        if unknown := sorted(set(own) - set(rows["id"][rows["corpus"] == corpus])):
            raise DataError(
                f"{folder}/{corpus}.tsv has {len(unknown)} ids that corpus {corpus} has not, "
                f"such as {', '.join(map(repr, unknown[:SHOWN]))}: correct or remove them"
            )


def _by_id(file: Path, column: str) -> dict[str, str]:
    header = f"id\t{column}"
    first, *rest = lines(file.read_bytes(), str(file)) or [""]
    if first != header:
        raise DataError(f"{file}:1: {first!r} is no header; write {header!r}, with a tab between")
    found: dict[str, str] = {}
    for number, line in enumerate(rest, 2):
        if not line.strip():
            continue
        id_, _, word = line.partition("\t")
        if not id_ or not word.strip():
            raise DataError(f"{file}:{number}: {line!r} is no id, tab and {column}")
        if id_ in found:
            raise DataError(f"{file}:{number}: {id_!r} has a line above already; keep one")
        found[id_] = word.strip()
    return found
