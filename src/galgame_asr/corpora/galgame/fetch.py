"""Corpora that a hub stores as WebDataset tars, such as litagin/Galgame_Speech_ASR_16kHz."""

import fnmatch
import json
from pathlib import Path

from galgame_asr.corpora.galgame.params import Galgame
from galgame_asr.downloads import hub, kept
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.shards.folder import Shard


def fetch(_name: str, corpus: Galgame, directory: Path) -> list[Shard]:
    """Download the shards as they are; see `corpora.fetch`."""
    counts = [corpus.counts] if corpus.counts else []
    patterns = [*corpus.shards, *counts]
    files = hub.download(corpus.repo, corpus.revision, kind="dataset", patterns=patterns)
    utterances = _counts(files[corpus.counts]) if corpus.counts else {}
    tars = {Path(path): file for path, file in files.items() if path.endswith(".tar")}
    shards = [_shard(path, utterances, corpus) for path in tars]
    if corpus.test_shards and not any(shard.upstream_set for shard in shards):
        raise ConfigError(
            f"test_shards {', '.join(corpus.test_shards)} match none of {len(shards)} shards"
        )
    if len({path.name for path in tars}) < len(tars):
        raise DataError(f"two shards of {corpus.repo} have the same file name")
    kept.link({path.name: file for path, file in tars.items()}, directory)
    return shards


def _shard(path: Path, utterances: dict[str, int], corpus: Galgame) -> Shard:
    if corpus.counts and path.name not in utterances:
        raise DataError(f"{corpus.counts} of {corpus.repo} does not count {path.name}")
    is_test = any(fnmatch.fnmatch(path.as_posix(), pattern) for pattern in corpus.test_shards)
    return Shard(path, utterances.get(path.name), "test" if is_test else None)


def _counts(path: Path) -> dict[str, int]:
    """Utterances by file name, from JSON like {"data/NAME.tar": 32768}."""
    try:
        counts = json.loads(path.read_bytes())  # which takes a byte order mark off
        return {Path(name).with_suffix(".tar").name: int(count) for name, count in counts.items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(
            f"{path.name} is not a JSON object of shard names and counts ({error}); "
            "set the corpus's `counts` to null to go without"
        ) from None
