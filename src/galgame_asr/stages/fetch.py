"""Stage fetch@CORPUS: bring one corpus in as tar shards, data/raw/CORPUS/*.tar."""

from collections.abc import Sequence

from galgame_asr import corpora
from galgame_asr.console import run
from galgame_asr.files import atomic_directory
from galgame_asr.params import load
from galgame_asr.params.corpora import Corpus
from galgame_asr.paths import RAW


def main(arguments: Sequence[str]) -> None:
    """Fetch the corpus named by the only argument."""
    (name,) = arguments
    corpus: Corpus = load(Corpus, f"corpora.{name}")
    with atomic_directory(RAW / name) as directory:
        corpora.fetch(name, corpus, directory)


if __name__ == "__main__":
    run(main)
