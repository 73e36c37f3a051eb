"""Clips of music and noise, mixed into training speech at a drawn signal-to-noise ratio."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galgame_asr.core.reader import ShardReader
from galgame_asr.messages.errors import DataError, UtteranceError
from galgame_asr.training.params import NoiseParams

Samples = NDArray[np.float32]


class Drawn(NamedTuple):
    """The noise of one utterance in one epoch."""

    clip: int  # among the rows of the table
    place: float  # where of it, in [0, 1)
    snr_db: float


class Noise:
    """The clips of a table, as samples while they fit."""

    def __init__(
        self, rows: pd.DataFrame, reader: ShardReader, params: NoiseParams, *, cache_bytes: int
    ) -> None:
        self.rows, self.reader, self.params = rows, reader, params
        self._cache: dict[int, Samples] = {}
        self._cache_left = cache_bytes

    def draw(self, seed: Sequence[int]) -> Drawn | None:
        """What an utterance gets; the same for the same numbers. None: nothing."""
        draw = np.random.default_rng(list(seed))
        if draw.random() >= self.params.share:
            return None
        low, high = self.params.snr_db
        clip, place = int(draw.integers(len(self.rows))), float(draw.random())
        return Drawn(clip, place, low + (high - low) * float(draw.random()))

    def add(self, speech: Samples, drawn: Drawn) -> Samples:
        """Speech with its noise; not in place.

        Raises:
            DataError: the clip is silent or no audio, or its shard is missing.
        """
        return mixed(speech, cut(self._clip(drawn.clip), len(speech), drawn.place), drawn.snr_db)

    def _clip(self, number: int) -> Samples:
        if number in self._cache:
            return self._cache[number]
        row = self.rows.iloc[number].to_dict()
        try:
            samples = self.reader.read_row(row)
        except UtteranceError as error:  # which would leave the speech out
            raise DataError(f"augment.noise: clip of {row['corpus']}: {error}") from None
        if not rms(samples):
            raise DataError(
                f"augment.noise: clip {row['corpus']}/{row['id']} is silent; name it in "
                f"exclusions/{row['corpus']}.tsv, or take it away"
            )
        if samples.nbytes <= self._cache_left:
            self._cache_left -= samples.nbytes
            self._cache[number] = samples
        return samples


def cut(clip: Samples, length: int, place: float) -> Samples:
    """So many samples of a clip, from a place in [0, 1) on; a shorter one is repeated."""
    if len(clip) > length:
        start = int(place * (len(clip) - length + 1))
        return clip[start : start + length]
    start = int(place * len(clip))
    return np.resize(np.concatenate([clip[start:], clip[:start]]), length)


def mixed(speech: Samples, noise: Samples, snr_db: float) -> Samples:
    """Speech with noise of the same length, so many decibels below it over the whole of both.

    A silent stretch of a clip adds nothing. Each step has the same bits on every CPU: sums of
    squares by numpy, whose order is fixed, and the power of a single number.
    """
    loudness = rms(noise)
    if not loudness:
        return speech
    gain = rms(speech) / loudness * math.pow(10, -snr_db / 20)
    return (speech + gain * noise.astype(np.float64)).astype(np.float32)


def rms(samples: Samples) -> float:
    """Root mean square; 0 of no samples."""
    return math.sqrt(float(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
