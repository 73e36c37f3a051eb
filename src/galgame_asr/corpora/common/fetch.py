"""Sources of speech: one room per kind, each turning an entry of params into tar shards."""

import importlib
from pathlib import Path
from typing import Protocol

from galgame_asr.shards import folder as shards


class Entry(Protocol):
    """An entry of `corpora`, of whatever kind."""

    @property
    def kind(self) -> str:
        """The name of the room that knows the others."""


def fetch(name: str, corpus: Entry, directory: Path) -> None:
    """Write a corpus as tar shards (ID.ogg and ID.txt side by side) into an empty directory.

    Or as lists of its files, where a kind leaves them in their place (`shards.in_place`).

    Module `fetch` of the room named like `corpus.kind` does it, with one function:
    `fetch(name, corpus, directory)`, which returns the shards.

    Raises:
        ConfigError: the entry asks for something the source does not have.
        DataError: the source is unreachable or what arrived is not what was pinned.
    """
    module = importlib.import_module(f"galgame_asr.corpora.{corpus.kind}.fetch")
    shards.write_list(directory, module.fetch(name, corpus, directory))
