"""From tar shards to a table of utterances with flags, in constant memory.

Each shard is read once, by a process of its own, into a part of the table. Repeats
are then found over all parts by their hashes, and the parts are joined.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from galgame_asr.core import processes, utterances
from galgame_asr.core.files import scratch_directory
from galgame_asr.core.paths import HOW_TO_GET_SHARDS, NOT_SPEECH
from galgame_asr.manifests.checks import audio as audio_checks
from galgame_asr.manifests.checks import repeats, signal
from galgame_asr.manifests.checks import sentences as sentence_checks
from galgame_asr.manifests.corrections import (
    CORRECTED,
    DRAFT,
    DROPPED,
    IN_NO_SET,
    PSEUDO,
    Correction,
    path_of,
    problem,
)
from galgame_asr.manifests.group import group_text
from galgame_asr.manifests.hashing import unit_hash
from galgame_asr.manifests.params import ManifestParams
from galgame_asr.messages.console import Progress, log
from galgame_asr.messages.errors import DataError
from galgame_asr.shards import folder as shards
from galgame_asr.shards.folder import Shard
from galgame_asr.text.letters import letters

SHOWN = 3  # utterances named in a message
# What was found where the name of a flag does not say it: a column, and how it is told.
FOUND = {
    "sample_rate": ("sample_rate_hz", "at {} Hz"),
    "channels": ("channels", "with {} channels"),
}
CHUNK = 4096
OPTIONAL = ("sentences", "label")  # columns
# What the flags of people's decisions do.
DECIDED = {CORRECTED: "warn", PSEUDO: "warn", **dict.fromkeys(sorted(IN_NO_SET), "drop")}


@dataclass(frozen=True)
class Corpus:
    """The corpus that is indexed: its name, its folder of shards, the checks and the decisions."""

    name: str
    directory: Path
    params: ManifestParams
    decisions: Mapping[str, Sequence[Correction]] = field(default_factory=dict)  # by id, in order

    @property
    def charset(self) -> re.Pattern[str] | None:
        """Matches the characters its texts may have; None if all."""
        pattern = self.params.charset.get(self.name)
        return re.compile(pattern) if pattern else None

    def text(self, data: bytes | None) -> tuple[str, list[str], list[dict[str, Any]]]:
        """The text in a text file, what is wrong with it, and its sentences if it has times."""
        return sentence_checks.check(data, self.charset, self.params.clean.get(self.name, ()))


@dataclass(frozen=True)
class Part:
    """The rows of one shard: their parquet file, and 64-bit hashes of what must not repeat."""

    path: Path
    ids: repeats.Keys
    audio: repeats.Keys
    texts: repeats.Keys
    checked: int  # rows whose signal was checked
    found: Counter[tuple[str, str]]  # rows by flag and what was found; see FOUND
    optional: frozenset[str]  # columns that some row has something in
    decided: frozenset[str]  # ids of rows that people decided about


def index(corpus: Corpus, output: Path, scratch: Path) -> dict[str, Any]:
    """Write one row per utterance of a corpus to `output`; `core.utterances` has the columns.

    Args:
        corpus: what to index.
        output: a parquet file.
        scratch: a folder for the parts; emptied first and removed at the end.

    Returns:
        counts for metrics/quality: utterances, hours, and rows per flag.

    Raises:
        DataError: a shard is missing or damaged or holds another number of
            utterances than its list says, or an utterance has a flag of
            severity `fail`, or sentences at times that cannot be; the message names the
            utterances. Or a decision is about an id or a label that is not there.
    """
    found = shards.listed(corpus.directory)
    with (
        scratch_directory(scratch) as directory,
        Progress(f"index {corpus.name}", total=len(found), unit="shards") as progress,
        processes.pool() as pool,
    ):
        parts = []
        for part in pool.map(partial(_index_shard, corpus=corpus, scratch=directory), found):
            parts.append(part)
            progress.update(1)
        counts = _Counts(corpus, parts)
        _refuse_unknown(corpus, frozenset().union(*(part.decided for part in parts)))
        optional = frozenset().union(*(part.optional for part in parts))
        utterances.write_parts(output, _joined(parts, counts), optional)
        log.info("%s", counts)
        return counts.summary()


def _joined(parts: list[Part], counts: "_Counts") -> Iterator[pa.Table]:
    """The parts with the flags of repeats, in order; fails at the end if a flag says so."""
    masks = {
        "duplicate_id": repeats.all_of(np.concatenate([part.ids for part in parts])),
        "duplicate_audio": repeats.all_but_first(np.concatenate([part.audio for part in parts])),
        "duplicate_text": repeats.all_but_first(np.concatenate([part.texts for part in parts])),
    }
    start = 0
    for part in parts:
        for batch in pq.ParquetFile(part.path).iter_batches(CHUNK):
            table = pa.Table.from_batches([batch])
            flags = table["flags"].to_pylist()
            for flag, mask in masks.items():
                for row in np.flatnonzero(mask[start : start + len(table)]):
                    if flag not in flags[row]:
                        flags[row].append(flag)
            start += len(table)
            column = utterances.SCHEMA.get_field_index("flags")
            table = table.set_column(
                column, utterances.SCHEMA.field(column), pa.array(flags, pa.list_(pa.string()))
            )
            counts.add(table, flags)
            yield table
        part.path.unlink()
    counts.refuse_failed()


class _Counts:
    """Counts over all parts, and the first utterances that must not be."""

    def __init__(self, corpus: Corpus, parts: list[Part]) -> None:
        self.corpus = corpus
        self.severity = asdict(corpus.params.severity) | DECIDED
        self.checked = sum(part.checked for part in parts)
        self.found = sum((part.found for part in parts), Counter[tuple[str, str]]())
        self.flags: Counter[str] = Counter()
        self.utterances = self.usable = self.failed = 0
        self.seconds = self.usable_s = 0.0
        self.shown: list[str] = []

    def add(self, table: pa.Table, flags: list[list[str]]) -> None:
        durations = table["duration_s"].to_numpy()
        usable = np.array([all(self.severity[f] == "warn" for f in row) for row in flags], bool)
        self.utterances += len(table)
        self.usable += int(usable.sum())
        self.seconds += float(durations.sum())
        self.usable_s += float(durations[usable].sum())
        for row_flags in flags:
            self.flags.update(row_flags)
        for number in np.flatnonzero(~usable):
            if not IN_NO_SET.isdisjoint(flags[number]):
                continue
            if any(self.severity[flag] == "fail" for flag in flags[number]):
                self.failed += 1
                if len(self.shown) < SHOWN:
                    row = table.slice(number, 1).to_pylist()[0]
                    length = f"{row['duration_s']:.2f} s, " if row["duration_s"] else ""
                    self.shown.append(
                        f"  {row['shard']} {row['id']}: {', '.join(flags[number])} "
                        f"({length}text {row['text']!r})"
                    )

    def refuse_failed(self) -> None:
        if self.failed:
            name, shown = self.corpus.name, "\n".join(self.shown)
            fatal = {flag for flag, effect in self.severity.items() if effect == "fail"}
            raise DataError(
                f"{self.failed} of {self.utterances} utterances of {name} have a flag that must "
                f"not occur: {self.counted(fatal)}\n{shown}\n"
                f"repair them, or set manifest.exceptions.{name}.FLAG to drop or warn"
            )

    def counted(self, flags: Collection[str]) -> str:
        """How many utterances have each of these flags, and what was found in them."""
        told = []
        for flag, count in self.flags.most_common():
            if flag in flags:
                found = [f"{n} {what}" for (f, what), n in self.found.most_common() if f == flag]
                told.append(f"{flag} {count}" + (f" ({', '.join(found)})" if found else ""))
        return ", ".join(told)

    def __str__(self) -> str:
        return (
            f"{self.corpus.name}: {self.utterances} utterances, {self.usable} usable, "
            f"{self.seconds / 3600:.2f} hours; flags: {self.counted(self.severity) or 'none'}"
        )

    def summary(self) -> dict[str, Any]:
        return {
            "utterances": self.utterances,
            "usable": self.usable,
            "hours": round(self.seconds / 3600, 4),
            "usable_hours": round(self.usable_s / 3600, 4),
            "signal_checked": self.checked,
            "flags": {
                flag: self.flags[flag]
                for flag in self.severity
                if flag not in DECIDED or self.flags[flag]
            },
        }


@dataclass(slots=True)
class _Row:
    """A row of the manifest; slots, because a shard's rows are in memory together."""

    id: str
    shard: str
    offset: int = -1
    size: int = 0
    audio_hash: str = ""
    duration_s: float = 0.0
    sample_rate_hz: int = 0
    channels: int = 0  # no column of the table
    text: str = ""
    flags: list[str] = field(default_factory=list)
    sentences: list[dict[str, Any]] | None = None
    label: str | None = None


def _index_shard(shard: Shard, corpus: Corpus, scratch: Path) -> Part:
    rows, checked = _rows(shard, corpus)
    count = sum(row.offset >= 0 for row in rows)
    if shard.utterances not in (None, count):
        raise DataError(
            f"shard {shard.path} holds {count} utterances instead of {shard.utterances}; "
            f"{HOW_TO_GET_SHARDS}"
        )
    name = f"{corpus.name}/{shard.path.name}"
    upstream_set = {shards.DRAFT: None, shards.PSEUDO: "train"}.get(
        shard.upstream_set or "", shard.upstream_set
    )
    constants = {"corpus": corpus.name, "upstream_set": upstream_set}
    path = scratch / f"{shard.path.name}.parquet"
    tables = (_table(chunk, constants) for chunk in _chunks(rows))
    utterances.write_parts(path, tables, OPTIONAL)
    return Part(
        path,
        ids=_keys(row.id for row in rows),
        # A draft repeats nothing, nor a row without audio or text: its own place stands for it.
        audio=_keys(
            row.audio_hash if row.audio_hash and DRAFT not in row.flags else f"{name} {number}"
            for number, row in enumerate(rows)
        ),
        texts=_keys(
            f"{group_text(row.text)} {row.duration_s:.2f}"
            if row.text and row.duration_s and DRAFT not in row.flags
            else f"{name} {number}"
            for number, row in enumerate(rows)
        ),
        checked=checked,
        found=Counter(
            (flag, how.format(getattr(row, column)))
            for row in rows
            for flag, (column, how) in FOUND.items()
            if flag in row.flags
        ),
        optional=frozenset(
            name for name in OPTIONAL if any(getattr(row, name) is not None for row in rows)
        ),
        decided=frozenset(row.id for row in rows if row.id in corpus.decisions),
    )


def _chunks(rows: list[_Row]) -> Iterator[list[_Row]]:
    """A few rows at a time, so that a shard's table is never in memory twice."""
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


def _table(rows: list[_Row], constants: dict[str, str | None]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        item.name: [getattr(row, item.name) for row in rows] for item in fields(_Row)
    }
    columns |= {name: [value] * len(rows) for name, value in constants.items()}
    return pa.table({n: columns[n] for n in utterances.WHOLE.names}, schema=utterances.WHOLE)


def _keys(values: Iterator[str]) -> repeats.Keys:
    return np.fromiter((xxhash.xxh3_64_intdigest(value.encode()) for value in values), np.uint64)


def _rows(listed: Shard, corpus: Corpus) -> tuple[list[_Row], int]:
    """The rows of a shard, sorted by id, and how many had their signal checked."""
    shard, is_speech = listed.path, listed.upstream_set != NOT_SPEECH
    rows: list[_Row] = []
    texts: dict[str, bytes] = {}
    repeated = set()
    checked = 0
    for place, member, data in shards.contents(shard, corpus.name):
        stem, _, extension = member.name.rpartition(".")
        if extension == "txt":
            if stem in texts:
                repeated.add(stem)
            texts[stem] = data
            continue
        row = _Row(stem, place, member.offset, member.size)
        checked += _describe_audio(row, data, corpus.params)
        rows.append(row)
    for stem in texts.keys() - {row.id for row in rows}:
        rows.append(_Row(stem, f"{corpus.name}/{shard.name}"))
        _describe_audio(rows[-1], None, corpus.params)
    for row in rows:
        if listed.upstream_set in (DRAFT, PSEUDO) and row.id not in corpus.decisions:
            row.flags.append(listed.upstream_set)
        if is_speech:
            _describe_text(row, texts.get(row.id), corpus)
        else:
            _describe_clip(row, corpus)
        row.flags += audio_checks.check_rate(len(letters(row.text)), row.duration_s, corpus.params)
        if row.id in repeated:
            row.flags.append("duplicate_id")
    return sorted(rows, key=lambda row: (row.id, row.offset)), checked


def _describe_clip(row: _Row, corpus: Corpus) -> None:
    """Music and noise have no text, and may be longer than what anyone says; people can drop it."""
    row.flags = [flag for flag in row.flags if flag != "too_long"]
    history = corpus.decisions.get(row.id)
    if history and history[-1].what == "drop":
        row.flags.append(DROPPED)


def _describe_text(row: _Row, data: bytes | None, corpus: Corpus) -> None:
    """Fill in what the text tells, after what the audio does."""
    if history := corpus.decisions.get(row.id):
        data = _decided(row, data, history, corpus)
    row.text, flags, sentences = corpus.text(data)
    row.flags += flags
    sentence_checks.refuse(sentences, row.duration_s, f"utterance {row.id} of {corpus.name}")
    row.sentences = sentences or None


def _decided(
    row: _Row, data: bytes | None, history: Sequence[Correction], corpus: Corpus
) -> bytes | None:
    """The text file as people want it, which is checked as any; what they did is told in the row.

    Raises:
        DataError: they decided about another label.
    """
    label, last, path = corpus.text(data)[0], history[-1], path_of(corpus.name)
    if wrong := problem(history, label, lambda text: corpus.text(text.encode())[0], path):
        raise DataError(wrong)
    if last.what == "text":
        row.label = label
        row.flags.append(CORRECTED)
        return last.text.encode()
    if last.what == "drop":
        row.flags.append(DROPPED)
    return data


def _refuse_unknown(corpus: Corpus, known: Collection[str]) -> None:
    """Refuse decisions about utterances that are not there."""
    unknown = [history for id_, history in corpus.decisions.items() if id_ not in known]
    if unknown:
        path = path_of(corpus.name)
        shown = "\n".join(problem(history, None, str, path) for history in unknown[:SHOWN])
        raise DataError(
            f"{len(unknown)} utterances that {path} decides about are not there:\n{shown}\n"
            f"`galgame-asr corrections --check` names all"
        )


def _describe_audio(row: _Row, data: bytes | None, params: ManifestParams) -> bool:
    """Fill in what the audio tells; whether its signal was checked."""
    header, flags = audio_checks.check(data, params)
    row.flags += flags
    if data:
        row.audio_hash = xxhash.xxh3_128_hexdigest(data)
    if header is None or data is None:
        return False
    row.duration_s, row.sample_rate_hz = header.duration_s, header.sample_rate_hz
    row.channels = header.channels
    if unit_hash(row.id, "signal") >= params.signal.share:
        return False
    row.flags += signal.check(data, row.duration_s, params.signal)
    return True
