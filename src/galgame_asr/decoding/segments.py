"""Speech segments of long audio: what a voice activity detector finds, in pieces a model can take.

Positions are samples at 16 kHz, so that what two pieces share or miss can be
told exactly.
"""

import contextlib
import importlib
import math
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.messages.errors import ConfigError

Audio = NDArray[np.float32]
Kind = Literal["silero", "fsmn"]

# Neighbours further apart stay apart: FSMN-VAD's published `max_end_silence_time`, the pause
# after which FunASR's own pipeline ends an utterance. Longer silence inside a piece costs time
# and tempts a language model to fill it.
MAX_GAP = round(0.8 * SAMPLE_RATE_HZ)
# Energy is averaged over so much around a cut: more than the closure of a geminate stop (っ,
# roughly 0.15 s), which is silent but inside a word.
QUIET_WINDOW = round(0.2 * SAMPLE_RATE_HZ)
# A piece of less is no utterance; well above QUIET_WINDOW, which must fit in beside a cut.
MIN_LIMIT_S = 1.0


@dataclass(frozen=True)
class Segment:
    """A stretch of audio: the samples `audio[start:end]`."""

    start: int
    end: int

    @property
    def start_s(self) -> float:
        """Where it begins, in seconds."""
        return self.start / SAMPLE_RATE_HZ

    @property
    def end_s(self) -> float:
        """Where it ends, in seconds."""
        return self.end / SAMPLE_RATE_HZ


class Detector(Protocol):
    """A loaded voice activity detector."""

    def speech(self, audio: Audio) -> list[Segment]:
        """Where 16 kHz mono samples in [-1, 1] are speech: rising, disjoint, within the audio."""

    def hears(self, audio: Audio) -> bool:
        """Whether any of it sounds like speech, be it too short or unsure for `speech`."""


def load_detector(kind: Kind, directory: Path | None = None) -> Detector:
    """Load a voice activity detector; the module named like `kind` does it.

    Args:
        kind: `silero`, whose model is in its wheel, or `fsmn`, FunASR's FSMN-VAD.
        directory: model directory of `fsmn`; `silero` has none.

    Raises:
        ConfigError: the kind is unknown, its package is not installed, or the
            directory is missing where one is needed or given where none is.
        CheckpointError: a file of the directory is missing or damaged.
    """
    kinds = typing.get_args(Kind)
    if kind not in kinds:
        raise ConfigError(f"no voice activity detector '{kind}'. Allowed: {', '.join(kinds)}")
    module = importlib.import_module(f"galgame_asr.decoding.{kind}")
    detector: Detector = module.load(directory)
    return detector


def cut(
    audio: Audio, detector: Detector, *, max_segment_s: float, max_gap: int = MAX_GAP
) -> list[Segment]:
    """Cut audio into segments of speech, none longer than `max_segment_s`.

    Every sample that the detector calls speech is in exactly one segment.
    Neighbours are merged while they fit and the gap is at most `max_gap`; longer
    speech is cut at its quietest place in the second half of the limit.

    Args:
        audio: mono samples at 16 kHz in [-1, 1].
        detector: what finds the speech.
        max_segment_s: longest segment.
        max_gap: longest silence inside of a segment, in samples.

    Returns:
        Rising, disjoint segments within the audio; none if all is silence.

    Raises:
        ConfigError: `max_segment_s` is below MIN_LIMIT_S or no finite number.
    """
    if not MIN_LIMIT_S <= max_segment_s < math.inf:
        raise ConfigError(
            f"segments cannot be at most {max_segment_s} s long; {MIN_LIMIT_S} is the least limit"
        )
    limit = int(max_segment_s * SAMPLE_RATE_HZ)
    merged: list[Segment] = []
    for segment in detector.speech(audio):
        for piece in _split(audio, segment, limit):
            if merged and _may_merge(merged[-1], piece, limit, max_gap):
                merged[-1] = Segment(merged[-1].start, piece.end)
            else:
                merged.append(piece)
    return merged


@contextlib.contextmanager
def plain_torch() -> Iterator[None]:
    """One thread, no autocast, no gradients: no setting of decoding changes what is speech.

    Silero's steps are too small for a second thread, which makes them slower.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.autocast("cpu", enabled=False), torch.no_grad():
            yield
    finally:
        torch.set_num_threads(num_threads)


def _may_merge(one: Segment, next_one: Segment, limit: int, max_gap: int) -> bool:
    return next_one.start - one.end <= max_gap and next_one.end - one.start <= limit


def _split(audio: Audio, segment: Segment, limit: int) -> Iterator[Segment]:
    """Cut a segment into pieces of at most `limit` samples, without gaps."""
    start = segment.start
    while segment.end - start > limit:
        # The last piece keeps a quarter of the limit: a few samples alone cannot be recognised.
        latest = min(start + limit, segment.end - limit // 4)
        end = _quietest(audio, start + limit // 2, latest)
        yield Segment(start, end)
        start = end
    yield Segment(start, segment.end)


def _quietest(audio: Audio, first: int, last: int) -> int:
    """The place in [first, last] with the least energy around it; the last of equals."""
    half = QUIET_WINDOW // 2
    squares = np.square(audio[first - half : last + half], dtype=np.float64)
    sums = np.concatenate([[0.0], np.cumsum(squares)])
    energy = sums[2 * half :] - sums[: -2 * half]  # energy[i] is around first + i
    return last - int(np.argmin(energy[::-1]))
