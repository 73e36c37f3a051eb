"""ReazonSpeech v2 (https://research.reazon.jp/projects/ReazonSpeech/): a table, and tars of FLAC.

`tsv/TIER.tsv` has a line "000/0000734f0d5a2.flac<TAB>text" for each utterance of a
tier; the number before the slash, hexadecimal, names the tar `data/000.tar` that holds
it. Tiers are nested, and a tar may hold more than the tier's table lists.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from galgame_asr.core.files import content_hash, locked, remove
from galgame_asr.core.paths import SOURCES, scratch_root
from galgame_asr.corpora.reazonspeech.params import ReazonSpeech, Tier
from galgame_asr.downloads import web
from galgame_asr.downloads.lock import Lock, describe
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.shards import folder as shards
from galgame_asr.shards import tar
from galgame_asr.shards.folder import Shard, Utterance

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
    # Finished shards of an interrupted run are kept for as long as the same code would write them.
    code = content_hash([Path(module) for module in (__file__, str(shards.__file__))])[:8]
    tier = f"{corpus.tier}-beyond-{corpus.beyond}" if corpus.beyond else corpus.tier
    unfinished = scratch_root() / "downloads" / f"reazonspeech--{tier}--{code}"
    lock = Lock(SOURCES / f"reazonspeech--{tier}.tsv", corpus.url)
    with locked(unfinished):
        texts = _texts(corpus.tier, corpus, unfinished, lock)
        if corpus.beyond:
            for path in _texts(corpus.beyond, corpus, unfinished, lock):
                texts.pop(path, None)
        by_tar: dict[str, dict[str, str]] = defaultdict(dict)
        for path, text in texts.items():
            by_tar[path.partition("/")[0]][path] = text
        written = [
            _write(number, by_tar[number], corpus, unfinished, lock) for number in sorted(by_tar)
        ]
        for shard in written:
            shard.path.replace(directory / shard.path.name)
        remove(unfinished)
    return written


def _texts(tier: Tier, corpus: ReazonSpeech, directory: Path, lock: Lock) -> dict[str, str]:
    """Text by path, out of the table of a tier."""
    table = _download(f"tsv/{tier}.tsv", corpus, directory, lock)
    texts = {}
    with table.open(encoding="utf-8", newline="\n") as stream:
        for number, line in enumerate(stream, 1):
            path, tab, text = line.rstrip("\r\n").partition("\t")
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


def _write(
    number: str, texts: dict[str, str], corpus: ReazonSpeech, directory: Path, lock: Lock
) -> Shard:
    """One tar of theirs as one of ours, without what the table does not list."""
    prefix = f"reazonspeech-{number}"
    if not (directory / f"{prefix}-000000.tar").exists():
        source = _download(f"data/{number}.tar", corpus, directory, lock)

        def utterances(_start: int) -> Iterator[Utterance]:
            missing = dict(texts)
            for member, audio in tar.contents(source):
                path = f"{number}/{Path(member.name).name}"
                if path in missing:
                    text = missing.pop(path)
                    yield Utterance(path.removesuffix(".flac"), "flac", audio, text)
            for path, text in missing.items():  # the manifest will say that audio is missing
                yield Utterance(path.removesuffix(".flac"), "flac", None, text)

        shards.write(directory, prefix, utterances, shard_size=len(texts))
        remove(source)
    return Shard(directory / f"{prefix}-000000.tar")
