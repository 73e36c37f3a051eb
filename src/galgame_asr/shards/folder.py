"""The shards of a corpus: a folder of tars, and a list that tells when one is missing.

Of a corpus whose audio is not copied, lists of its files stand in place of the tars.
"""

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from galgame_asr.core.files import write_text
from galgame_asr.core.paths import HOW_TO_GET_SHARDS
from galgame_asr.messages.console import Progress
from galgame_asr.messages.errors import DataError
from galgame_asr.shards import in_place, tar
from galgame_asr.shards.tar import Member

LIST = "shards.tsv"
TAR, FILES = ".tar", ".jsonl"  # the suffixes of shards
# Upstream sets of what no person has accepted yet: in no set, or in train alone.
DRAFT, PSEUDO = "draft", "pseudo"
COLUMNS = ("name", "bytes", "utterances", "upstream_set")


@dataclass(frozen=True)
class Shard:
    """One tar of a corpus.

    Attributes:
        path: where it is.
        utterances: how many audio files it must hold; None if nobody said.
        upstream_set: train, dev or test, where the corpus's makers split it; DRAFT, PSEUDO
            or `paths.NOT_SPEECH`.
    """

    path: Path
    utterances: int | None = None
    upstream_set: str | None = None


@dataclass(frozen=True)
class Utterance:
    """Audio and text to be written into a shard.

    Attributes:
        id: unique in its corpus; may hold slashes.
        extension: of the audio file, without a dot.
        audio: the file's bytes; None if there is none, which the manifest will say.
        text: likewise.
        file: where the audio stays, below the folder of the corpus; None to copy its bytes.
    """

    id: str
    extension: str
    audio: bytes | None
    text: str | None
    file: str | None = None


def write(
    directory: Path,
    prefix: str,
    utterances: Callable[[int], Iterator[Utterance]],
    *,
    shard_size: int,
    total: int | None = None,
    upstream_set: str | None = None,
    suffix: str = TAR,
) -> list[Shard]:
    """Write utterances as PREFIX-000000.tar and so on, each whole or not at all.

    Shards that an interrupted run left in the directory are kept.

    Args:
        directory: where the shards go.
        prefix: of their names.
        utterances: gives those from a number on.
        shard_size: utterances per shard.
        total: how many utterances there are, where that is known.
        upstream_set: as in `Shard`.
        suffix: FILES to write lists of files in place of tars.
    """
    done = sorted(directory.glob(f"{prefix}-*{suffix}"))
    shards = [Shard(path, _count(path), upstream_set) for path in done]
    remaining = utterances(len(done) * shard_size)
    kept = sum(shard.utterances or 0 for shard in shards)
    with Progress(f"write {prefix}", total=total, unit="utterances", done=kept) as progress:
        while first := list(itertools.islice(remaining, 1)):
            chunk = itertools.chain(first, itertools.islice(remaining, shard_size - 1))
            path = directory / f"{prefix}-{len(shards):06}{suffix}"
            if suffix == TAR:
                tar.write(path, _files(chunk, progress))
            else:
                in_place.write(path, _places(chunk, progress))
            shards.append(Shard(path, _count(path), upstream_set))
    return shards


def _files(utterances: Iterable[Utterance], progress: Progress) -> Iterator[tuple[str, bytes]]:
    for utterance in utterances:
        text = utterance.text
        if utterance.audio is not None:
            yield f"{utterance.id}.{utterance.extension}", utterance.audio
        elif text is None:  # a shard with nothing of it would have no row for it
            text = ""
        if text is not None:
            yield f"{utterance.id}.txt", _encoded(text)
        progress.update(1)


def _places(
    utterances: Iterable[Utterance], progress: Progress
) -> Iterator[tuple[str, str | None, bytes | None, str | None]]:
    for utterance in utterances:
        yield utterance.id, utterance.file, utterance.audio, utterance.text
        progress.update(1)


def _encoded(text: str) -> bytes:
    """UTF-8; of what is none, bytes that are no UTF-8 either, which the manifest will say."""
    try:
        return text.encode("utf-8", "surrogateescape")  # bytes of a file that is not UTF-8
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")  # half of a character, cut apart in JSON


def _count(path: Path) -> int:
    if path.suffix == FILES:
        return sum(file is not None for _, file, _, _ in in_place.read(path))
    return sum(not member.name.endswith(".txt") for member in tar.members(path))


def contents(path: Path, corpus: str) -> Iterator[tuple[str, Member, bytes]]:
    """Walk a shard once, as `tar.contents` does.

    Returns:
        where the bytes are, as rows of the manifest name it; the member; its bytes.

    Raises:
        DataError: as for `tar.contents` or `in_place.contents`.
    """
    shard = f"{corpus}/{path.name}"
    if path.suffix != FILES:
        yield from ((shard, member, data) for member, data in tar.contents(path))
        return
    for id_, place, audio, text in in_place.contents(path, corpus):
        if audio is not None:
            yield place, Member(f"{id_}.audio", 0, len(audio)), audio
        if text is not None or audio is None:
            data = _encoded(text or "")
            yield shard, Member(f"{id_}.txt", 0, len(data)), data


def write_list(directory: Path, shards: Iterable[Shard]) -> None:
    """List the shards of a complete corpus beside them."""
    lines = ["\t".join(COLUMNS)]
    for shard in sorted(shards, key=lambda shard: shard.path.name):
        count = "" if shard.utterances is None else shard.utterances
        size = (directory / shard.path.name).stat().st_size
        lines.append(f"{shard.path.name}\t{size}\t{count}\t{shard.upstream_set or ''}")
    write_text(directory / LIST, "\n".join(lines) + "\n")


def listed(directory: Path) -> list[Shard]:
    """The shards of a corpus, sorted by name.

    Raises:
        DataError: there is no list, it is damaged, or a shard is missing, not
            listed, or of another size than the list says.
    """
    try:
        with (directory / LIST).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        expected = {row["name"]: int(row["bytes"]) for row in rows}
        shards = [
            Shard(
                directory / row["name"],
                int(row["utterances"]) if row["utterances"] else None,
                row["upstream_set"] or None,
            )
            for row in rows
        ]
    except FileNotFoundError:
        raise DataError(f"{directory / LIST} is missing; {HOW_TO_GET_SHARDS}") from None
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{directory / LIST} is no list of shards ({error!r}); {HOW_TO_GET_SHARDS}"
        ) from None
    found = {
        path.name: path.stat().st_size
        for path in directory.iterdir()
        if path.suffix in (TAR, FILES)
    }
    if expected != found:
        wrong = [
            f"{name} has {found.get(name, 'no')} bytes instead of {expected.get(name, 'no')}"
            for name in sorted(expected | found)
            if expected.get(name) != found.get(name)
        ]
        raise DataError(
            f"{directory} does not hold the shards that {LIST} lists: {', '.join(wrong)}; "
            f"{HOW_TO_GET_SHARDS}"
        )
    if not expected:
        raise DataError(f"{directory} holds no shard; {HOW_TO_GET_SHARDS}")
    return shards
