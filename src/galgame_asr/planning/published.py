"""What the makers of corpora say about their size, for a plan before anything is downloaded."""

import fnmatch
from dataclasses import dataclass, replace

from galgame_asr.corpora.aishell.params import Aishell
from galgame_asr.corpora.common.limit import first_shards
from galgame_asr.corpora.common.types import Limit
from galgame_asr.corpora.galgame.params import Galgame
from galgame_asr.corpora.params import Entry
from galgame_asr.corpora.reazonspeech.params import ReazonSpeech

GB = 10**9


@dataclass(frozen=True)
class Size:
    """Of what is taken of a corpus."""

    train_h: float | None  # hours of speech for training; None: nobody knows how many
    raw_bytes: float  # in data/raw
    beside_bytes: float = 0.0  # of downloads that stay in .scratch


# litagin/Galgame_Speech_ASR_16kHz: its card (5353.9 h, 3,746,131 utterances) and its listing on
# the hub at the revision in profiles/galgame.yaml (100.16 GB). Its shards are about equal.
GALGAME = "litagin/Galgame_Speech_ASR_16kHz"
GALGAME_H, GALGAME_BYTES = 5353.9, 100.16 * GB
GALGAME_UTTERANCES = 3_746_131
GALGAME_SHARDS = [f"data/galgame-speech-asr-16kHz-train-{n:06}.tar" for n in range(115)]
# ReazonSpeech v2: hours and bytes of the tiers, each with the ones before it, as the card of
# reazon-research/reazonspeech has them.
REAZONSPEECH = {
    "tiny": Size(8.5, 0.6 * GB), "small": Size(100, 6 * GB), "medium": Size(1000, 65 * GB),
    "large": Size(5000, 330 * GB), "all": Size(35_000, 2300 * GB),
}  # fmt: skip
# AISHELL-1 (https://www.openslr.org/33/), all its sets: shards of 19 GB, and the archive.
AISHELL = Size(178, 19 * GB, 15.6 * GB)


def size(corpus: Entry) -> Size | None:
    """The published size of what a corpus takes; None of one that publishes none, such as a folder.

    Without what its makers keep for testing, and within `limit`.
    """
    if isinstance(corpus, Galgame) and corpus.repo == GALGAME:
        return _galgame(corpus)
    if isinstance(corpus, ReazonSpeech):
        whole = REAZONSPEECH[corpus.tier]
        less = REAZONSPEECH[corpus.beyond] if corpus.beyond else Size(0, 0)
        hours, raw = (whole.train_h or 0) - (less.train_h or 0), whole.raw_bytes - less.raw_bytes
        share = corpus.limit if isinstance(corpus.limit, float) else 1.0
        return Size(_limited(hours, corpus.limit), raw * share)
    if isinstance(corpus, Aishell):
        return replace(AISHELL, train_h=_limited(AISHELL.train_h or 0, corpus.limit))
    return None


def _galgame(corpus: Galgame) -> Size:
    taken = [shard for shard in GALGAME_SHARDS if _matches(shard, corpus.shards)]
    test = [shard for shard in taken if _matches(shard, corpus.test_shards)]
    each = round(GALGAME_UTTERANCES / len(GALGAME_SHARDS))
    train = first_shards(dict.fromkeys((s for s in taken if s not in test), each), corpus.limit)
    utterances = len(train) * each
    if isinstance(corpus.limit, int):
        utterances = min(utterances, corpus.limit)
    num_shards = len(train) + (len(test) if corpus.limit is None else len(test[:1]))
    return Size(
        GALGAME_H * utterances / GALGAME_UTTERANCES,
        GALGAME_BYTES * num_shards / len(GALGAME_SHARDS),
    )


def _limited(hours: float, limit: Limit | None) -> float | None:
    """Hours within a limit; None where it counts utterances, whose length is not published."""
    if isinstance(limit, int):
        return None
    return hours * (limit or 1.0)


def _matches(shard: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(shard, pattern) for pattern in patterns)
