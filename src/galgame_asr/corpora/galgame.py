"""Corpora that a hub stores as WebDataset tars, such as litagin/Galgame_Speech_ASR_16kHz."""

from pathlib import Path
from tempfile import TemporaryDirectory

from galgame_asr import hub
from galgame_asr.params.corpora import Galgame


def fetch(name: str, corpus: Galgame, directory: Path) -> None:
    """Download the shards as they are; see `corpora.fetch`."""
    with TemporaryDirectory(dir=directory.parent) as temporary:
        hub.download(
            corpus.repo,
            corpus.revision,
            Path(temporary),
            kind="dataset",
            patterns=corpus.shards,
        )
        for shard in sorted(Path(temporary).rglob("*.tar")):
            shard.rename(directory / shard.name)
