"""Where the speech of a recording is, to a hundredth of a second."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.messages.packages import of_extra

with of_extra("subtitle"):
    import silero_vad
    import torch

Audio = NDArray[np.float32]
Span = tuple[float, float]  # in seconds

FRAME_S = 0.01
FRAME = round(FRAME_S * SAMPLE_RATE_HZ)
# Shortest stretches that silero, in steps of 32 ms, calls speech and silence: its own 250 ms leave
# out はい, and its margins hide pauses.
STRETCH_MS = 96
# Sound is louder than the quietest tenth of what is around it by so much, and no softer than the
# loudest of its stretch by so much (dB).
ABOVE_NOISE_DB, BELOW_PEAK_DB = 9.0, 45.0
AROUND = 1000  # frames
QUIETEST = 0.1
SILENCE_DB = -100.0
# Silero finds speech so much late at most, where its sound goes on without a gap of so much.
LATE_S, GAP_S = 0.4, 0.06
SMOOTH = 5  # frames that loudness is a mean of where a place to cut is looked for


@dataclass(frozen=True)
class Heard:
    """The speech of a recording."""

    spans: list[Span]  # rising and disjoint
    loudness_db: NDArray[np.float64]  # of each frame
    noise_db: NDArray[np.float64]  # around each frame

    @property
    def duration_s(self) -> float:
        """Seconds of the recording, in whole frames."""
        return len(self.loudness_db) * FRAME_S

    @cached_property
    def speech(self) -> NDArray[np.bool_]:
        """Whether each frame is speech."""
        found = np.zeros(len(self.loudness_db), bool)
        for start_s, end_s in self.spans:
            found[round(start_s / FRAME_S) : round(end_s / FRAME_S)] = True
        return found

    @cached_property
    def pauses(self) -> list[Span]:
        """What is between the spans."""
        edges = [0.0, *(edge for span in self.spans for edge in span), self.duration_s]
        return list(zip(edges[::2], edges[1::2], strict=True))

    @cached_property
    def sound(self) -> NDArray[np.bool_]:
        """Whether each frame is louder than the noise around it."""
        return self.loudness_db > self.noise_db + ABOVE_NOISE_DB

    def quietest(self, first_s: float, last_s: float) -> float:
        """The quietest place between two times; their middle if there is nothing between."""
        first, last = max(round(first_s / FRAME_S), 0), round(last_s / FRAME_S)
        inside = self.loudness_db[first:last]
        if not len(inside):
            return (first_s + last_s) / 2
        power = np.convolve(10 ** (inside / 10), np.ones(SMOOTH), "same")
        # At the ends, the mean is over fewer.
        power /= np.convolve(np.ones(len(inside)), np.ones(SMOOTH), "same")
        return float(first + int(power.argmin()) + 0.5) * FRAME_S

    def first_sound(self, from_s: float, start_s: float, gap_s: float) -> float:
        """Where the sound begins that goes on to `start_s` without a longer gap."""
        return self._edge(start_s, from_s, -1, gap_s)

    def last_sound(self, end_s: float, to_s: float, gap_s: float) -> float:
        """Where the sound ends that goes on from `end_s` without a longer gap."""
        return self._edge(end_s, to_s, 1, gap_s)

    def _edge(self, edge_s: float, limit_s: float, step: int, gap_s: float) -> float:
        edge, limit = round(edge_s / FRAME_S), round(limit_s / FRAME_S)
        inside = self.sound[edge:limit] if step > 0 else self.sound[limit:edge][::-1]
        at = reached(inside, round(gap_s / FRAME_S))
        return (edge + step * at) * FRAME_S if at else edge_s


def reached(sound: NDArray[np.bool_], gap: int) -> int:
    """How many frames sound goes on for, with gaps of at most so many.

    >>> reached(np.array([0, 1, 1, 0, 0, 1, 0, 0, 0, 1], bool), gap=2)
    6
    >>> reached(np.array([0, 0, 1], bool), gap=1)
    0
    """
    at = 0
    for frame in np.flatnonzero(sound):
        if frame - at > gap:
            break
        at = int(frame) + 1
    return at


def hear(audio: Audio) -> Heard:
    """Find the speech in 16 kHz mono samples in [-1, 1].

    What silero-vad finds, in steps of 32 ms and some 50 ms late at both ends, begins and ends here
    with its sound.
    """
    with torch.autocast("cpu", enabled=False), torch.no_grad():
        found = silero_vad.get_speech_timestamps(
            torch.from_numpy(audio),
            silero_vad.load_silero_vad(onnx=False),
            min_speech_duration_ms=STRETCH_MS,
            min_silence_duration_ms=STRETCH_MS,
            speech_pad_ms=0,
        )
    frames = audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    loudness = 10 * np.log10(np.maximum(np.square(frames).mean(1), 10 ** (SILENCE_DB / 10)))
    heard = Heard([], loudness, _noise(loudness))
    stretches = [
        (one["start"] // FRAME, min(-(-one["end"] // FRAME), len(loudness))) for one in found
    ]
    for number, (start, end) in enumerate(stretches):
        after = stretches[number + 1][0] if number + 1 < len(stretches) else len(loudness)
        before = round(heard.spans[-1][1] / FRAME_S) if heard.spans else 0
        if span := _fitted(heard, before, start, end, after):
            heard.spans.append(span)
    return heard


def _fitted(heard: Heard, before: int, start: int, end: int, after: int) -> Span | None:
    """A stretch that begins and ends with its sound, between its neighbours; in frames."""
    start = max(start, before)
    inside = heard.loudness_db[start:end]
    if not len(inside):
        return None
    loud = heard.sound & (heard.loudness_db > inside.max() - BELOW_PEAK_DB)
    sounding = np.flatnonzero(loud[start:end])
    if not len(sounding):
        return None
    late, gap = round(LATE_S / FRAME_S), round(GAP_S / FRAME_S)
    first, last = start + int(sounding[0]), start + int(sounding[-1]) + 1
    first -= reached(loud[max(first - late, before) : first][::-1], gap)
    last += reached(loud[last : min(last + late, after)], gap)
    return first * FRAME_S, last * FRAME_S


def _noise(loudness: NDArray[np.float64]) -> NDArray[np.float64]:
    """The loudness of the quietest tenth of 20 s around each frame."""
    noise = np.empty_like(loudness)
    for start in range(0, len(loudness), AROUND // 2):
        around = loudness[max(start - AROUND // 2, 0) : start + AROUND]
        noise[start : start + AROUND // 2] = np.quantile(around, QUIETEST)
    return noise
