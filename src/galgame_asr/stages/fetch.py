"""Stage fetch@CORPUS: bring one corpus in as shards, data/raw/CORPUS: tars, or lists of files."""

from collections.abc import Sequence

from galgame_asr.core.files import atomic_directory
from galgame_asr.core.params import entry
from galgame_asr.core.paths import RAW
from galgame_asr.corpora.common import fetch as corpora
from galgame_asr.messages.console import run


def main(arguments: Sequence[str]) -> None:
    """Fetch the corpus named by the only argument."""
    (name,) = arguments
    corpus = entry("galgame_asr.corpora", f"corpora.{name}", "kind")
    with atomic_directory(RAW / name) as directory:
        corpora.fetch(name, corpus, directory)


if __name__ == "__main__":
    run(main)
