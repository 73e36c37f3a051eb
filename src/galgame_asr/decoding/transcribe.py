"""Transcribing rows of a manifest, in batches of similar length, by one process or several."""

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import compress
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from galgame_asr.core import processes
from galgame_asr.core.reader import SAMPLE_RATE_HZ, SHORTEST, ShardReader
from galgame_asr.decoding import long_audio, speed
from galgame_asr.decoding.params import SearchParams
from galgame_asr.decoding.segments import Audio, Detector, load_detector
from galgame_asr.decoding.transcripts import Transcripts, keys
from galgame_asr.families.common import compute, hotwords
from galgame_asr.families.common.batching import by_length, num_frames, window_frames
from galgame_asr.families.common.defaults import max_spoken_tokens
from galgame_asr.families.common.family import Aligner, FrontEnd, Recogniser, Search
from galgame_asr.families.common.params import ComputeParams, Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.console import Progress, log
from galgame_asr.messages.errors import ConfigError, UtteranceError
from galgame_asr.runtimes import load as runtimes

Row = Mapping[Hashable, Any]
# Batches of rows to the number of each, with its transcripts, in whatever order.
Decode = Callable[[Sequence[Sequence[Row]]], Iterator[tuple[int, list[Transcript]]]]


@dataclass(frozen=True)
class Task:
    """How rows are transcribed."""

    family: str
    checkpoint: Path
    raw: Path  # shards
    prompt: Prompt
    params: SearchParams
    compute: ComputeParams
    batch_frames: int  # 10 ms feature frames, padding included; no influence on the text
    processes: int = 1  # that share the work
    # Instead of the family's own; one that other processes can be given.
    front_end: FrontEnd | None = None
    # Of a runtime whose files do not say all: see `runtimes.load`.
    options: Mapping[str, Any] = field(default_factory=dict)
    speed: Path | None = None  # a file to record in how fast one process was
    # Of an utterance that cannot be read the text is empty, which is said; else it is an error.
    skip_unreadable: bool = False
    align: bool = False  # whether transcripts tell how the rows' texts fit, where a model can

    @property
    def window(self) -> int | None:
        """Frames that the model pads all speech to."""
        return window_frames(runtimes.window_s(self.family))


def transcribe(rows: pd.DataFrame, task: Task) -> list[Transcript]:
    """Transcribe utterances; in the order of `rows`, and the same for any number of processes.

    Raises:
        CheckpointError: as for `runtimes.load`.
        ConfigError: pieces of long audio would be longer than the model hears.
        DataError: an utterance cannot be read; the message names it.
    """
    if rows.empty:
        return []
    (transcripts,) = transcribe_parts([rows], task)
    return transcripts


def transcribe_parts(parts: Sequence[pd.DataFrame], task: Task) -> Iterator[list[Transcript]]:
    """Transcribe tables one after the other, with a model that is loaded once.

    What a part gives does not depend on the others, so that work may stop after any of them.

    Raises:
        GalgameAsrError: as for `transcribe`.
    """
    window_s, limit_s = runtimes.window_s(task.family), task.params.long_audio.max_segment_s
    if window_s and limit_s > window_s:
        raise ConfigError(
            f"decode.long_audio.max_segment_s is {limit_s:g}; family {task.family} hears "
            f"{window_s:g} s at once: set it to at most {window_s:g}"
        )
    total = sum(map(len, parts))
    with _decoding(task) as (decode, used):
        start, clock = time.monotonic(), speed.Clock()
        with Progress("decode", total=total, unit="utterances") as progress:
            for rows in parts:
                durations_s, records = rows["duration_s"].to_numpy(), rows.to_dict("records")
                batches = _batches(durations_s, task)
                decoded: dict[int, Transcript] = {}
                for number, transcripts in decode([[records[i] for i in b] for b in batches]):
                    batch = batches[number]
                    decoded |= zip(batch, transcripts, strict=True)
                    clock.batch(len(batch), durations_s[batch].sum())
                    progress.update(len(batch))
                yield [decoded[index] for index in range(len(rows))]
        elapsed_s = time.monotonic() - start
    audio_s = sum(rows["duration_s"].sum() for rows in parts)
    log.info("%.0f s of audio, %.1f times as fast as speech", audio_s, audio_s / elapsed_s)
    if task.speed and used and clock.utterances:
        speed.record(task.speed, _conditions(task, used, clock), clock.seconds)


def _batches(durations_s: NDArray[np.float64], task: Task) -> list[list[int]]:
    frames = num_frames(durations_s)
    order = np.argsort(frames, kind="stable")
    # Longest first: what does not fit into memory fails at once, and the ETA is honest.
    return list(reversed(by_length(order, frames, task.batch_frames, task.window)))


def _conditions(task: Task, used: compute.Used, clock: speed.Clock) -> speed.Conditions:
    return speed.Conditions(
        device=compute.cpu_name() if used.device == "cpu" else used.device,
        cpu_threads=used.cpu_threads,
        precision=used.precision,
        batch_frames=task.batch_frames,
        torch=torch.__version__,
        utterances=clock.utterances,
        audio_s=round(clock.audio_s, 1),
        size_mb=speed.size_mb(task.checkpoint),
    )


def transcribe_sets(sets: Mapping[str, pd.DataFrame], task: Task) -> Transcripts:
    """Transcribe several sets as one stream of batches.

    Raises:
        GalgameAsrError: as for `transcribe`.
    """
    found = iter(transcribe(pd.concat(sets.values(), ignore_index=True), task))
    return {name: {key: next(found) for key in keys(rows)} for name, rows in sets.items()}


class Decoder:
    """A loaded model that turns rows into transcripts."""

    def __init__(self, task: Task, device: torch.device) -> None:
        self.task, self.device = task, device
        self.family: Recogniser = runtimes.load(task.family, task.checkpoint, options=task.options)
        self.aligner = self._aligner()
        self.family.model.to(device)
        self.reader = ShardReader(task.raw)
        precision = compute.precision(task.compute, device)
        compute.cast(self.family.model, precision)
        self.autocast = compute.autocast(device, precision)
        self.used = compute.used(device, precision)

    def _aligner(self) -> Aligner | None:
        if not self.task.align:
            return None
        if isinstance(self.family, Aligner) and self.family.take_branch():
            return self.family
        log.info("%s has no CTC branch: how labels fit is not told", self.task.checkpoint)
        return None

    def __call__(self, rows: Sequence[Row]) -> list[Transcript]:
        """One transcript for each row; longer audio than a piece may be goes through VAD."""
        audios = [self._audio(row) for row in rows]
        transcripts = self._transcripts(rows, audios)
        if self.aligner is None:
            return transcripts
        long = [index for index, audio in enumerate(audios) if len(audio) >= SHORTEST]
        if long:
            features = [self.family.features(audios[index]) for index in long]
            with self.autocast:
                fits = self.aligner.align(features, [rows[index]["text"] for index in long])
            for index, fit in zip(long, fits, strict=True):
                transcripts[index] = replace(transcripts[index], fit=fit)
        return transcripts

    def _transcripts(self, rows: Sequence[Row], audios: list[Audio]) -> list[Transcript]:
        prompts = [
            hotwords.told(self.task.prompt, f"{row['corpus']}/{row['id']}", row["text"])
            for row in rows
        ]
        limit_s = self.task.params.long_audio.max_segment_s
        if all(len(audio) <= limit_s * SAMPLE_RATE_HZ for audio in audios):
            return self._batch(audios, prompts)
        decoded: dict[int, Transcript] = {}
        for prompt in dict.fromkeys(prompts):
            own = [index for index, other in enumerate(prompts) if other == prompt]
            found = long_audio.transcribe(
                [audios[index] for index in own],
                self.detector,
                partial(self.pieces, prompt=prompt),
                max_segment_s=limit_s,
            )
            decoded |= zip(own, found, strict=True)
        return [decoded[index] for index in range(len(rows))]

    def _audio(self, row: Row) -> Audio:
        try:
            return self.reader.read_row(row)
        except UtteranceError as error:
            if not self.task.skip_unreadable:
                raise
            log.warning("%s", error)
            return np.zeros(0, np.float32)

    @cached_property
    def detector(self) -> Detector:
        """Finds the speech of long audio."""
        params = self.task.params.long_audio
        return load_detector(params.vad, Path(params.directory) if params.directory else None)

    def pieces(self, pieces: list[Audio], prompt: Prompt | None = None) -> list[Transcript]:
        """One transcript for each piece that a model takes, whatever its audio is from.

        Args:
            pieces: 16 kHz mono samples.
            prompt: instead of the task's.
        """
        told = prompt or self.task.prompt
        frames = num_frames(np.array([len(piece) / SAMPLE_RATE_HZ for piece in pieces]))
        order = np.argsort(frames, kind="stable")
        decoded: dict[int, Transcript] = {}
        # Longest first, as above; a runtime whose limits are fixed is also loaded once for all.
        for batch in reversed(by_length(order, frames, self.task.batch_frames, self.task.window)):
            found = self._batch([pieces[index] for index in batch], [told] * len(batch))
            decoded |= zip(batch, found, strict=True)
        return [decoded[index] for index in range(len(pieces))]

    def _batch(self, pieces: Sequence[Audio], prompts: Sequence[Prompt]) -> list[Transcript]:
        """One transcript for each piece; an empty one for what is too short to be heard."""
        long = [len(piece) >= SHORTEST for piece in pieces]
        heard = iter(self._heard(list(compress(pieces, long)), list(compress(prompts, long))))
        nothing = Transcript("", 0, 0.0)
        return [next(heard) if is_long else nothing for is_long in long]

    def _heard(self, pieces: Sequence[Audio], prompts: Sequence[Prompt]) -> list[Transcript]:
        if not pieces:
            return []
        params = self.task.params
        limits = [max_tokens(len(piece) / SAMPLE_RATE_HZ, params) for piece in pieces]
        search = Search(limits, params.beams, params.no_repeat_ngram_size)
        front_end = self.task.front_end or self.family.features
        features = [front_end(piece) for piece in pieces]
        with self.autocast:
            return hotwords.transcribe(self.family, features, prompts, search)


def max_tokens(duration_s: float, params: SearchParams) -> int:
    """The longest transcript of an utterance or piece, in tokens."""
    by_duration = max_spoken_tokens(duration_s, params.max_tokens_per_s)
    return min(params.max_new_tokens or by_duration, by_duration)


@contextmanager
def _decoding(task: Task) -> Iterator[tuple[Decode, compute.Used | None]]:
    """Give what transcribes batches of rows, and what a single process uses."""
    if task.processes == 1:
        decoder = Decoder(task, compute.device(task.compute))
        yield (lambda batches: enumerate(map(decoder, batches))), decoder.used
        return
    log.info("decoding in %d processes", task.processes)
    context = torch.multiprocessing.get_context("spawn")
    with processes.pool(
        task.processes,
        method="spawn",
        start=_load,
        arguments=(task, context.Value("i", 0)),
    ) as pool:

        def decode(batches: Sequence[Sequence[Row]]) -> Iterator[tuple[int, list[Transcript]]]:
            waiting = {pool.submit(_decode, rows): number for number, rows in enumerate(batches)}
            return ((waiting[future], future.result()) for future in as_completed(waiting))

        yield decode, None


def _load(task: Task, started: "Synchronized[int]") -> None:
    """In a process of the pool: load the model, onto a GPU of its own if there are several."""
    with started.get_lock():
        number, started.value = started.value, started.value + 1
    compute.set_up(task.compute)
    device = compute.device(task.compute)
    if device.type == "cuda":
        device = torch.device("cuda", number % torch.cuda.device_count())
    global _decoder  # noqa: PLW0603  what a pool's processes keep from task to task
    _decoder = Decoder(task, device)


def _decode(rows: Sequence[Row]) -> list[Transcript]:
    return _decoder(rows)


_decoder: Decoder
