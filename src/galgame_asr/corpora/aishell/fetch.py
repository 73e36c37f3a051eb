"""AISHELL-1 (https://www.openslr.org/33/): data_aishell.tgz with an archive for each speaker.

The outer archive holds wav/SPEAKER.tar.gz, each with SET/SPEAKER/ID.wav, and
transcript/aishell_transcript_v0.8.txt with lines "ID word word". The makers' sets
(train, dev, test) are kept.

The archive stays in the scratch folder, 15 GB beside 19 GB of shards, and not the shards:
texts can go through a function of the user's, whose edits nobody would notice.
"""

import importlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from galgame_asr.core.files import locked, remove
from galgame_asr.corpora.aishell.params import Aishell
from galgame_asr.downloads import kept, web
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.shards import folder as shards
from galgame_asr.shards.folder import Shard, Utterance
from galgame_asr.text.lines import lines

TRANSCRIPT = "aishell_transcript_v0.8.txt"
SETS = ("train", "dev", "test")


def fetch(name: str, corpus: Aishell, directory: Path) -> list[Shard]:
    """Download the archive and write each of its sets as shards; see `corpora.fetch`."""
    restore = _punctuation(corpus.restore_punctuation)
    if not corpus.url.startswith(("http://", "https://")):
        path = Path(corpus.url)
        if not path.is_file():
            raise DataError(f"corpora.{name}.url: {path} is neither an address nor a file")
        _refuse_other_md5(path, corpus)
        return _write(name, corpus, path, restore, directory)
    downloads = kept.place(f"aishell--{corpus.md5}")
    with locked(downloads):
        path = downloads / "data_aishell.tgz"
        web.download(corpus.url, path)
        try:
            _refuse_other_md5(path, corpus)
        except DataError:
            remove(path)  # so that the next run downloads it anew
            raise
        return _write(name, corpus, path, restore, directory)


def _refuse_other_md5(archive: Path, corpus: Aishell) -> None:
    found = web.md5(archive)
    if found != corpus.md5:
        raise DataError(f"{archive.name} has MD5 {found} instead of {corpus.md5}")


def _write(
    name: str,
    corpus: Aishell,
    archive: Path,
    restore: Callable[[list[str]], list[str]] | None,
    directory: Path,
) -> list[Shard]:
    texts = _transcript(archive)
    if restore:
        restored = restore(list(texts.values()))
        if len(restored) != len(texts):
            raise ConfigError(
                f"{corpus.restore_punctuation} gave {len(restored)} texts for {len(texts)}"
            )
        texts = dict(zip(texts, restored, strict=True))
    written = []
    for set_ in SETS:
        # One pass over the archive for each set: no set needs to fit into memory.
        written += shards.write(
            directory,
            f"{name}-{set_}",
            partial(_utterances, archive, set_, texts),
            shard_size=corpus.shard_size,
            upstream_set=set_,
        )
    return written


def _transcript(archive: Path) -> dict[str, str]:
    """Text by id, without the spaces between words."""
    for member, data in _members(archive):
        if member.name == TRANSCRIPT:
            split = (line.split() for line in lines(data(), f"{archive}: {TRANSCRIPT}"))
            return {words[0]: "".join(words[1:]) for words in split if words}
    raise DataError(f"{archive} holds no {TRANSCRIPT}")


def _utterances(
    archive: Path, set_: str, texts: dict[str, str], _start: int
) -> Iterator[Utterance]:
    """The utterances of one set, in the order of the archive; some have no transcript."""
    for speaker, archived in _members(archive):
        if not speaker.name.endswith(".tar.gz"):
            continue
        for path, data in _members(archive, io.BytesIO(archived())):
            if path.suffix == ".wav" and set_ in path.parts:
                yield Utterance(path.stem, "wav", data(), texts.get(path.stem))


def _members(
    archive: Path, inner: io.BytesIO | None = None
) -> Iterator[tuple[PurePosixPath, Callable[[], bytes]]]:
    """The files in an archive, or in one `inner` of it, and what reads the bytes of each.

    Raises:
        DataError: the archive is damaged, at once or while a file of it is read.
    """

    def read(member: tarfile.TarInfo) -> bytes:
        with _readable(archive):
            stream = opened.extractfile(member)
            assert stream is not None  # it is a file
            return stream.read()

    with _readable(archive), tarfile.open(archive, fileobj=inner) as opened:
        for member in opened:
            if member.isfile():
                yield PurePosixPath(member.name), partial(read, member)


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, MemoryError) as error:
        raise DataError(f"{archive} cannot be read: {error}") from None


def _punctuation(hook: str | None) -> Callable[[list[str]], list[str]] | None:
    if hook is None:
        return None
    module, _, function = hook.partition(":")
    try:
        found: Callable[[list[str]], list[str]] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"restore_punctuation: {hook} cannot be imported: {error}") from None
    return found
