"""Sources of speech: one module per kind, each turning a catalogue entry into tar shards."""

import importlib
from pathlib import Path

from galgame_asr.audio import shards
from galgame_asr.params.corpora import Corpus


def fetch(name: str, corpus: Corpus, directory: Path) -> None:
    """Write a corpus as tar shards (ID.ogg and ID.txt side by side) into a new directory.

    The module named like `corpus.kind` does it, with one function of the same
    form: `fetch(name, corpus, directory)`.

    Raises:
        ConfigError: the entry asks for something the source does not have.
        DataError: the source is unreachable or what arrived is not what was pinned.
    """
    module = importlib.import_module(f"galgame_asr.corpora.{corpus.kind}")
    module.fetch(name, corpus, directory)
    shards.write_list(directory)
