"""Any data set of parquet files with audio and text, on the Hugging Face hub or in a folder.

Among them are mirrors of ReazonSpeech, such as
japanese-asr/whisper_transcriptions.reazonspeech.small (columns audio, transcription).
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import datasets

from galgame_asr.core.files import content_hash, locked, remove
from galgame_asr.core.paths import scratch_root
from galgame_asr.corpora.hub_dataset.params import HubDataset
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.shards import folder as shards
from galgame_asr.shards.folder import Shard, Utterance

# By the first bytes of a file, where the data set gives no file names.
EXTENSIONS = {b"OggS": "ogg", b"fLaC": "flac", b"RIFF": "wav", b"ID3": "mp3", b"\xff\xfb": "mp3"}


def fetch(name: str, corpus: HubDataset, directory: Path) -> list[Shard]:
    """Stream a data set into shards; see `corpora.fetch`. Finished shards survive a kill."""
    is_folder = Path(corpus.repo).is_dir()
    if corpus.revision is None and not is_folder:
        raise ConfigError(
            f"corpora.{name}: {corpus.repo} is no folder here; "
            "a data set on the hub needs a revision (40 hex digits)"
        )
    if is_folder:
        return _write(name, corpus, directory)
    code = content_hash([Path(module) for module in (__file__, str(shards.__file__))])[:8]
    key = f"{corpus.repo.replace('/', '--')}--{corpus.config}--{corpus.revision}--{code}"
    unfinished = scratch_root() / "downloads" / f"hub_dataset--{key}--{corpus.shard_size}"
    with locked(unfinished):
        written = _write(name, corpus, unfinished)
        for shard in written:
            shard.path.replace(directory / shard.path.name)
        remove(unfinished)
    return written


def _write(name: str, corpus: HubDataset, directory: Path) -> list[Shard]:
    written = []
    for split, upstream_set in corpus.splits.items():
        written += shards.write(
            directory,
            f"{name}-{split}",
            partial(_utterances, corpus, split, _rows(corpus, split)),
            shard_size=corpus.shard_size,
            upstream_set=upstream_set,
        )
    return written


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
    except Exception as error:  # hub, HTTP and parquet errors share no base
        raise DataError(f"{corpus.repo} split {split} cannot be read: {error}") from error


def _utterances(
    corpus: HubDataset, split: str, rows: datasets.IterableDataset, start: int
) -> Iterator[Utterance]:
    for number, row in enumerate(rows.skip(start), start):
        audio: Mapping[str, Any] = row[corpus.audio_column] or {}
        data = audio.get("bytes")
        stem = PurePosixPath(audio.get("path") or "").stem or "utterance"
        # The number makes it unique: file names need not be.
        yield Utterance(
            f"{split}/{number:08}-{stem}", _extension(data or b""), data, row[corpus.text_column]
        )


def _extension(data: bytes) -> str:
    return next((name for magic, name in EXTENSIONS.items() if data.startswith(magic)), "audio")
