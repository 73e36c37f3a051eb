"""From tar shards to a table of utterances with flags."""

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import soundfile as sf
import xxhash

from galgame_asr import manifest
from galgame_asr.audio import shards, tar
from galgame_asr.errors import DataError
from galgame_asr.params.manifest import ManifestParams
from galgame_asr.split import usable
from galgame_asr.text.group import group_text

SHOWN = 10  # utterances named in a message


def index(corpus: str, directory: Path, params: ManifestParams) -> pd.DataFrame:
    """One row per utterance of a corpus, with its flags; `manifest.SCHEMA` has the columns.

    Raises:
        DataError: a shard is missing or damaged, or an utterance has a flag of
            severity `fail`; the message names the utterances.
    """
    rows = [row for shard in shards.listed(directory) for row in _rows(corpus, shard, params)]
    counts = Counter(row["id"] for row in rows)
    for row in rows:
        if counts[row["id"]] > 1:
            row["flags"].append("duplicate_id")
    severity = asdict(params.severity)
    failed = [row for row in rows if any(severity[flag] == "fail" for flag in row["flags"])]
    if failed:
        shown = "\n".join(
            f"  {row['shard']} {row['id']}: {', '.join(row['flags'])} (text {row['text']!r})"
            for row in failed[:SHOWN]
        )
        raise DataError(
            f"{len(failed)} of {len(rows)} utterances of {corpus} have a flag that must not occur:"
            f"\n{shown}\nrepair them, or set manifest.severity of the flag to drop or warn"
        )
    return pd.DataFrame(rows, columns=manifest.SCHEMA.names)


def _rows(corpus: str, shard: Path, params: ManifestParams) -> Iterator[dict[str, Any]]:
    audio: dict[str, tar.Member] = {}
    texts: dict[str, tar.Member] = {}
    for member in tar.members(shard):
        stem, _, extension = member.name.rpartition(".")
        (texts if extension == "txt" else audio)[stem] = member
    with shard.open("rb") as stream:
        for id_ in sorted(audio | texts):
            row: dict[str, Any] = {"id": id_, "corpus": corpus, "shard": f"{corpus}/{shard.name}"}
            flags = [] if id_ in audio and id_ in texts else ["unpaired"]
            row |= _audio_columns(stream, audio.get(id_), flags, params)
            row["text"] = _read(stream, texts.get(id_)).decode("utf-8", "replace").strip()
            if id_ in texts and not group_text(row["text"]):
                flags.append("text_empty")
            yield row | {"flags": flags}


def _read(stream: io.BufferedReader, member: tar.Member | None) -> bytes:
    if member is None:
        return b""
    stream.seek(member.offset)
    return stream.read(member.size)


def _audio_columns(
    stream: io.BufferedReader, member: tar.Member | None, flags: list[str], params: ManifestParams
) -> dict[str, Any]:
    """Columns that describe the audio; what is wrong with it is added to `flags`."""
    data = _read(stream, member)
    columns: dict[str, Any] = {
        "offset": member.offset if member else -1,
        "size": len(data),
        "audio_hash": xxhash.xxh3_128_hexdigest(data),
        "duration_s": 0.0,
        "sample_rate_hz": 0,
    }
    if member is None:
        return columns
    try:
        info = sf.info(io.BytesIO(data))
    except sf.LibsndfileError:
        flags.append("audio_unreadable")
        return columns
    if info.duration < params.min_duration_s:
        flags.append("too_short")
    if info.duration > params.max_duration_s:
        flags.append("too_long")
    return columns | {"duration_s": info.duration, "sample_rate_hz": info.samplerate}


def quality(rows: pd.DataFrame, params: ManifestParams) -> dict[str, Any]:
    """Counts for metrics/quality: utterances, hours, and rows per flag, most telling first."""
    counts = Counter(flag for flags in rows["flags"] for flag in flags)
    return {
        "utterances": len(rows),
        "usable": int(usable(rows, params.severity).sum()),
        "hours": round(float(rows["duration_s"].sum()) / 3600, 4),
        "flags": {flag: counts[flag] for flag in asdict(params.severity)},
    }
