"""Any data set of parquet files with audio and text, on the Hugging Face hub or in a folder.

Among them are mirrors of ReazonSpeech, such as
japanese-asr/whisper_transcriptions.reazonspeech.small (columns audio, transcription).
The rows are streamed; what stays in the scratch folder are the shards.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import datasets

from galgame_asr.core.files import locked
from galgame_asr.corpora.hub_dataset.params import HubDataset
from galgame_asr.downloads import kept
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.shards import folder as shards
from galgame_asr.shards.folder import Shard, Utterance

# By the first bytes of a file, where the data set gives no file names.
EXTENSIONS = {b"OggS": "ogg", b"fLaC": "flac", b"RIFF": "wav", b"ID3": "mp3", b"\xff\xfb": "mp3"}

# Raise it when the same rows give other shards: those that are kept are then left.
SHARDS_VERSION = 2


def fetch(name: str, corpus: HubDataset, directory: Path) -> list[Shard]:
    """Stream a data set into shards; see `corpora.fetch`. Finished shards survive a kill."""
    is_folder = Path(corpus.repo).is_dir()
    if corpus.revision is None and not is_folder:
        raise ConfigError(
            f"corpora.{name}: {corpus.repo} is no folder here; "
            "a data set on the hub needs a revision (40 hex digits)"
        )
    if is_folder:
        parts = [_write(name, corpus, split, directory, whole=False) for split in corpus.splits]
        return [shard for part in parts for shard in part]
    columns = (corpus.audio_column, corpus.text_column)
    place = kept.place(
        f"hub_dataset--{corpus.repo.replace('/', '--')}--{corpus.revision}",
        name, corpus.config, columns, corpus.shard_size, SHARDS_VERSION,
    )  # fmt: skip
    written = []
    with locked(place):
        finished = kept.Shards(place)
        for split in corpus.splits:
            whole = finished.whole(f"{name}-{split}")
            part = _write(name, corpus, split, place, whole=whole)
            if not whole:
                finished.add(*(shard.path.name for shard in part))
            written += part
    kept.link({shard.path.name: shard.path for shard in written}, directory)
    return written


def _write(
    name: str, corpus: HubDataset, split: str, directory: Path, *, whole: bool
) -> list[Shard]:
    """The shards of one split; if they are `whole`, the data set is not asked for more."""

    def utterances(start: int) -> Iterator[Utterance]:
        return iter(()) if whole else _utterances(corpus, split, _rows(corpus, split), start)

    return shards.write(
        directory,
        f"{name}-{split}",
        utterances,
        shard_size=corpus.shard_size,
        upstream_set=corpus.splits[split],
    )


def _rows(corpus: HubDataset, split: str) -> datasets.IterableDataset:
    try:
        rows = datasets.load_dataset(
            corpus.repo, corpus.config, split=split, revision=corpus.revision, streaming=True
        )
        columns = rows.column_names or list(next(iter(rows)))
        missing = {corpus.audio_column, corpus.text_column} - set(columns)
        if missing:
            raise ConfigError(
                f"{corpus.repo} has no column {', '.join(sorted(missing))}; "
                f"its columns are {', '.join(sorted(columns))}"
            )
        # Decoding here would need torchcodec; the shards hold the files as they are.
        return rows.cast_column(corpus.audio_column, datasets.Audio(decode=False))
    except ConfigError:
        raise
    except Exception as error:
        raise _unreadable(corpus, split, error) from error


def _unreadable(corpus: HubDataset, split: str, error: Exception) -> DataError:
    """For whatever the library raised: hub, HTTP and parquet errors share no base."""
    return DataError(f"{corpus.repo} split {split} cannot be read: {error}")


def _utterances(
    corpus: HubDataset, split: str, rows: datasets.IterableDataset, start: int
) -> Iterator[Utterance]:
    found = iter(rows.skip(start))
    for number in itertools.count(start):
        try:
            row = next(found)
        except StopIteration:
            return
        except Exception as error:
            raise _unreadable(corpus, split, error) from error
        audio, text = row[corpus.audio_column], row[corpus.text_column]
        where = f"{corpus.repo} split {split} row {number}"
        if not isinstance(audio, Mapping | None):
            raise DataError(_wrong(where, corpus.audio_column, audio, "audio with its bytes"))
        if not isinstance(text, str | None):
            raise DataError(_wrong(where, corpus.text_column, text, "text"))
        audio = audio or {}
        data = audio.get("bytes")
        stem = PurePosixPath(audio.get("path") or "").stem or "utterance"
        # The number makes it unique: file names need not be.
        yield Utterance(f"{split}/{number:08}-{stem}", _extension(data or b""), data, text)


def _wrong(where: str, column: str, value: object, allowed: str) -> str:
    return f"{where}: {column} is {value!r:.80} ({type(value).__name__}); allowed: {allowed}"


def _extension(data: bytes) -> str:
    return next((name for magic, name in EXTENSIONS.items() if data.startswith(magic)), "audio")
