"""ReazonSpeech v2 (https://research.reazon.jp/projects/ReazonSpeech/): a table, and tars of FLAC.

`tsv/TIER.tsv` has a line "000/0000734f0d5a2.flac<TAB>text" for each utterance of a
tier; the number before the slash, hexadecimal, names the tar `data/000.tar` that holds
it. Tiers are nested, and a tar may hold more than the tier's table lists.

The tables and the finished shards stay in the scratch folder, not the tars, which would
take as much again and hold what the tier does not list.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from galgame_asr.core.files import locked, remove
from galgame_asr.core.paths import SOURCES
from galgame_asr.corpora.common.limit import first_shards
from galgame_asr.corpora.reazonspeech.params import ReazonSpeech, Tier
from galgame_asr.downloads import kept, web
from galgame_asr.downloads.lock import Lock, describe
from galgame_asr.messages.console import Progress, log
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.shards import folder as shards
from galgame_asr.shards import tar
from galgame_asr.shards.folder import Shard, Utterance
from galgame_asr.text.lines import of_stream

# Raise it when the same tables and tars give other shards: those that are kept are then left.
SHARDS_VERSION = 1

TERMS = (
    "ReazonSpeech may be used solely for the purpose of Article 30-4 of the Japanese Copyright "
    "Act (information analysis); the corpus is under CDLA-Sharing-1.0 with that restriction. "
    "Read https://huggingface.co/datasets/reazon-research/reazonspeech and set "
    "corpora.{name}.agree_terms to true if you agree"
)


def fetch(name: str, corpus: ReazonSpeech, directory: Path) -> list[Shard]:
    """Download the tars of a tier and write what its table lists; see `corpora.fetch`."""
    if not corpus.agree_terms:
        raise ConfigError(TERMS.format(name=name))
    tier = f"{corpus.tier}-beyond-{corpus.beyond}" if corpus.beyond else corpus.tier
    place = kept.place(f"reazonspeech--{tier}", corpus.url, SHARDS_VERSION)
    lock = Lock(SOURCES / f"reazonspeech--{tier}.tsv", corpus.url)
    with locked(place):
        texts = _texts(corpus.tier, corpus, place, lock)
        if corpus.beyond:
            for path in _texts(corpus.beyond, corpus, place, lock):
                texts.pop(path, None)
        by_tar: dict[str, dict[str, str]] = defaultdict(dict)
        for path, text in texts.items():
            by_tar[path.partition("/")[0]][path] = text
        finished = kept.Shards(place)
        written = {}
        numbers = first_shards(
            {number: len(listed) for number, listed in by_tar.items()}, corpus.limit
        )
        with Progress(name, total=len(numbers), unit="tars") as progress:
            for number in numbers:
                prefix = f"reazonspeech-{number}"
                shard = f"{prefix}-000000.tar"
                if not finished.whole(prefix):
                    source = _download(f"data/{number}.tar", corpus, place, lock)
                    remove(place / shard)
                    _write(place, prefix, source, by_tar[number])
                    finished.add(shard)
                    remove(source)
                written[shard] = place / shard
                progress.update(1)
    kept.link(written, directory)
    return [Shard(path) for path in written.values()]


def _texts(tier: Tier, corpus: ReazonSpeech, directory: Path, lock: Lock) -> dict[str, str]:
    """Text by path, out of the table of a tier."""
    table = _download(f"tsv/{tier}.tsv", corpus, directory, lock)
    texts = {}
    with table.open("rb") as stream:
        for number, line in enumerate(of_stream(stream, table.name), 1):
            path, tab, text = line.partition("\t")
            if not tab or "/" not in path:
                raise DataError(f"{tier}.tsv line {number} is no path, tab and text: {line!r}")
            texts[path] = text
    return texts


def _download(name: str, corpus: ReazonSpeech, directory: Path, lock: Lock) -> Path:
    path = directory / Path(name).name
    for _ in range(2):
        web.download(f"{corpus.url.rstrip('/')}/{name}", path)
        wrong = lock.check(name, describe(path))
        if wrong is None:
            lock.save()
            return path
        log.info("%s; downloading it again", wrong)
        remove(path)
    raise DataError(f"{corpus.url}: {wrong}")


def _write(directory: Path, prefix: str, source: Path, texts: dict[str, str]) -> None:
    """One tar of theirs as one of ours, without what the table does not list."""

    def utterances(_start: int) -> Iterator[Utterance]:
        missing = dict(texts)
        for member, audio in tar.contents(source):
            path = f"{source.stem}/{Path(member.name).name}"
            if path in missing:
                text = missing.pop(path)
                yield Utterance(path.removesuffix(".flac"), "flac", audio, text)
        for path, text in missing.items():  # the manifest will say that audio is missing
            yield Utterance(path.removesuffix(".flac"), "flac", None, text)

    shards.write(directory, prefix, utterances, shard_size=len(texts))
