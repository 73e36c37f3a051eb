"""Music and noise of the embedded corpora."""

import hashlib
import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
CHORDS_HZ = [(220.0, 277.2, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7)]
MUSIC_SHARE = 0.5  # of clips; the others are noise
CLIP_S = (2.0, 8.0)
HALF_TONES = 6  # music is up to so many higher or lower than the chords above
# Noise is the mean over so many samples, twice: from a hiss to a rumble. Its loudness changes.
SMOOTHED = (1, 24)
CHANGE_S = 0.4
CLIP_PEAK = 0.5

Chords = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Sound:
    """Music, or noise where there are no chords."""

    chords_hz: Chords
    smoothed: int
    seed: int


@dataclass(frozen=True)
class Clip:
    """A sound of its own, as an entry of a corpus."""

    id: str
    sound: Sound
    num_samples: int


def clips(seed: int, count: int) -> list[Clip]:
    """Draw the clips of a corpus, sorted by id; the same numbers give the same clips."""
    draw = random.Random(f"noise {seed}")
    found = []
    for number in range(count):
        key = hashlib.blake2b(f"noise\0{seed}\0{number}".encode(), digest_size=16)
        length = round(draw.uniform(*CLIP_S) * SAMPLE_RATE_HZ)
        found.append(Clip(key.hexdigest(), sound(draw), length))
    return sorted(found, key=lambda clip: clip.id)


def sound(draw: random.Random) -> Sound:
    """Draw one."""
    factor = 2 ** (draw.randint(-HALF_TONES, HALF_TONES) / 12)
    chords = [tuple(hz * factor for hz in chord) for chord in draw.sample(CHORDS_HZ, 3)]
    is_music = draw.random() < MUSIC_SHARE
    smoothed, seed = draw.randint(*SMOOTHED), draw.getrandbits(32)
    return Sound(tuple(chords) if is_music else (), smoothed, seed)


def samples(made: Sound, num_samples: int) -> NDArray[np.float64]:
    """A sound of so many samples, with a root mean square of 1."""
    return music(made.chords_hz, num_samples) if made.chords_hz else noise(made, num_samples)


def clip(made: Clip) -> NDArray[np.float64]:
    """The samples of a clip, in [-1, 1]."""
    audio = samples(made.sound, made.num_samples)
    scaled: NDArray[np.float64] = CLIP_PEAK * audio / np.abs(audio).max()
    return scaled


def over(speech: NDArray[np.float64], made: Sound, snr_db: float) -> NDArray[np.float64]:
    """Speech over a sound that is so many decibels below it, as loud as the speech was at most."""
    loudness = float(np.sqrt(np.mean(speech**2)))
    mixed = speech + loudness * 10 ** (-snr_db / 20) * samples(made, len(speech))
    scaled: NDArray[np.float64] = mixed * (np.abs(speech).max() / np.abs(mixed).max())
    return scaled


def noise(made: Sound, num_samples: int) -> NDArray[np.float64]:
    """Smoothed white noise that swells and falls, with a root mean square of 1."""
    draw = np.random.default_rng(made.seed)
    audio = draw.standard_normal(num_samples + 2 * made.smoothed)
    for _ in range(2):
        summed = np.cumsum(audio)
        audio = summed[made.smoothed :] - summed[: -made.smoothed]
    step = round(CHANGE_S * SAMPLE_RATE_HZ)
    places = np.arange(0, num_samples + step, step)
    audio *= np.interp(np.arange(num_samples), places, 0.3 + 0.7 * draw.random(len(places)))
    audio /= np.sqrt(np.mean(audio**2))
    return audio


def music(chords_hz: Chords, num_samples: int) -> NDArray[np.float64]:
    """Plucked chords, two a second, with a root mean square of 1."""
    time_s = np.arange(num_samples) / SAMPLE_RATE_HZ
    beat = (time_s * 2).astype(int)
    # Not by numpy, whose exp and log2 differ in the last bit between AVX-512 and AVX2.
    step = SAMPLE_RATE_HZ // 2
    decay = np.resize([math.exp(-3 * index / step) for index in range(step)], num_samples)
    audio: NDArray[np.float64] = np.zeros(num_samples)
    for index, chord in enumerate(chords_hz):
        tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in chord)
        audio += np.where(beat % len(chords_hz) == index, tones * decay, 0.0)
    audio /= np.sqrt(np.mean(audio**2))
    return audio
