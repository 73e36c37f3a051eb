"""Corpora that a hub stores as WebDataset tars, such as litagin/Galgame_Speech_ASR_16kHz."""

import fnmatch
import glob
import json
from collections.abc import Sequence
from pathlib import Path

from galgame_asr.corpora.common.limit import first_shards
from galgame_asr.corpora.common.types import Limit
from galgame_asr.corpora.galgame.params import Galgame
from galgame_asr.downloads import hub, kept
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.shards.folder import Shard


def fetch(_name: str, corpus: Galgame, directory: Path) -> list[Shard]:
    """Download the shards as they are; see `corpora.fetch`."""
    utterances: dict[str, int] = {}
    if corpus.counts:
        utterances = _counts(_download(corpus, [corpus.counts])[corpus.counts])
    named = hub.names(corpus.repo, corpus.revision, kind="dataset", patterns=corpus.shards)
    shards = [_shard(Path(name), utterances, corpus) for name in named if name.endswith(".tar")]
    if corpus.test_shards and not any(shard.upstream_set for shard in shards):
        raise ConfigError(
            f"test_shards {', '.join(corpus.test_shards)} match none of {len(shards)} shards"
        )
    shards = _within(corpus.limit, shards)
    files = _download(corpus, [shard.path.as_posix() for shard in shards])
    tars = {Path(path): file for path, file in files.items()}
    if len({path.name for path in tars}) < len(tars):
        raise DataError(f"two shards of {corpus.repo} have the same file name")
    kept.link({path.name: file for path, file in tars.items()}, directory)
    return shards


def _download(corpus: Galgame, names: Sequence[str]) -> dict[str, Path]:
    patterns = [glob.escape(name) for name in names]
    return hub.download(corpus.repo, corpus.revision, kind="dataset", patterns=patterns)


def _within(limit: Limit | None, shards: list[Shard]) -> list[Shard]:
    """The first shards for training, and with a limit only the first of the makers' test shards."""
    train = {str(s.path): s.utterances for s in shards if s.upstream_set is None}
    test = sorted(str(shard.path) for shard in shards if shard.upstream_set)
    taken = {*first_shards(train, limit), *(test if limit is None else test[:1])}
    return [shard for shard in shards if str(shard.path) in taken]


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
