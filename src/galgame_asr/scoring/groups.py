"""Groups of utterances, by their ids: what is of one game, speaker or scene.

A rule for each corpus, of `score.groups` in params.yaml or of groups/CORPUS.tsv, which people keep
in git. The same name in two corpora is one group.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from galgame_asr.messages.errors import ConfigError
from galgame_asr.splitting import lists
from galgame_asr.splitting.lists import Lists

FOLDER = Path("groups")
SHOWN = 3  # ids named in a message


@dataclass(frozen=True)
class Grouping:
    """How the group of an utterance is found; without a rule for its corpus it has none."""

    patterns: Mapping[str, str]  # by corpus; the first group of a match is the group's name
    listed: Lists

    def __bool__(self) -> bool:
        """Whether there is any rule."""
        return bool(self.patterns or self.listed)

    def of(self, rows: pd.DataFrame) -> "pd.Series[str]":
        """The name of the group of each row; None where it has none.

        Args:
            rows: a manifest; of its columns id and corpus are read.
        """
        pairs = zip(rows["corpus"], rows["id"], strict=True)
        return pd.Series([self._one(*pair) for pair in pairs], rows.index, dtype=object)

    def _one(self, corpus: str, id_: str) -> str | None:
        if corpus in self.listed:
            return self.listed[corpus].get(id_)
        found = re.search(self.patterns[corpus], id_) if corpus in self.patterns else None
        return found[1] or None if found else None


NONE = Grouping({}, {})


def read(patterns: Mapping[str, str], corpora: Collection[str], folder: Path = FOLDER) -> Grouping:
    """The rules of the corpora.

    Raises:
        ConfigError: a corpus has two.
        DataError: as for `lists.read`.
    """
    listed = lists.read(folder, corpora, "group")
    if twice := sorted(listed.keys() & patterns.keys()):
        raise ConfigError(
            f"corpus {twice[0]} has groups by score.groups and by {folder}/{twice[0]}.tsv; keep one"
        )
    return Grouping(patterns, listed)


def check(grouping: Grouping, rows: pd.DataFrame, folder: Path = FOLDER) -> None:
    """Refuse rules that say nothing of the rows of all corpora.

    Raises:
        ConfigError: a pattern is of no corpus, or names no group in any of its ids.
        DataError: a listed id is none of its corpus.
    """
    for corpus, pattern in grouping.patterns.items():
        own = rows[rows["corpus"] == corpus]
        if own.empty:
            known = ", ".join(sorted(rows["corpus"].unique()))
            raise ConfigError(f"score.groups names {corpus}; the corpora are {known}")
        if grouping.of(own).isna().all():
            raise ConfigError(
                f"score.groups.{corpus} is {pattern!r}, which finds no group in any of "
                f"{len(own)} ids, such as {', '.join(map(repr, own['id'].head(SHOWN)))}"
            )
    lists.refuse_unknown(folder, grouping.listed, rows)
