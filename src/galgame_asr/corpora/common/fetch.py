"""Sources of speech: one module per kind, each turning an entry of params into tar shards."""

import importlib
from pathlib import Path

from galgame_asr.corpora.params import Corpus
from galgame_asr.shards import folder as shards


def fetch(name: str, corpus: Corpus, directory: Path) -> None:
    """Write a corpus as tar shards (ID.ogg and ID.txt side by side) into an empty directory.

    The module named like `corpus.kind` does it, with one function:
    `fetch(name, corpus, directory)`, which returns the shards.

    Raises:
        ConfigError: the entry asks for something the source does not have.
        DataError: the source is unreachable or what arrived is not what was pinned.
    """
    module = importlib.import_module(f"galgame_asr.corpora.{corpus.kind}")
    shards.write_list(directory, module.fetch(name, corpus, directory))
