"""Transcribing recordings of any length in bounded memory: window after window, cut at silence."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.decoding.segments import MAX_GAP, Audio, Detector, Segment, cut
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import GalgameAsrError

T = TypeVar("T")

# Audio searched for speech, and transcribed, at once: enough pieces to batch them by length, and
# 8 MB.
WINDOW = 120 * SAMPLE_RATE_HZ
# Speech that ends closer to the end of a window may go on after it; so may what is too short to be
# found yet. Longer than the pause that a detector needs to end speech.
TAIL = 1 * SAMPLE_RATE_HZ
# Softer than the loudest of a piece by so much (60 dB) is silence: below the softest sounds of
# speech, and below the noise of most rooms, where nothing is trimmed.
SILENT = 10 ** (-60 / 20)
# How far before what is found its first sound may be, such as ん before a pause: silero leaves out
# what is shorter than 0.25 s. Noise is no such sound: it is there most of that time.
LOOK_BACK = MAX_GAP
FRAME = SAMPLE_RATE_HZ // 100


@dataclass(frozen=True)
class Window:
    """A stretch of a recording and the speech in it, at positions within the stretch."""

    start: int
    audio: Audio
    segments: list[Segment]
    is_last: bool = False  # the recording ends with it


@dataclass(frozen=True)
class Piece:
    """A piece of speech, at its position in the recording, and what was said."""

    segment: Segment
    transcript: Transcript


def transcribe(
    windows: Iterable[tuple[T, Window]],
    transcribe_pieces: Callable[[list[Audio]], list[Transcript]],
) -> Iterator[tuple[T, Window, list[Piece] | GalgameAsrError]]:
    """Transcribe windows, in order; those of short recordings together.

    Gives the pieces of each, or the error that the model met in it.

    Args:
        windows: whose it is, and one that `windows` made.
        transcribe_pieces: transcribes the pieces of so many windows at once that they are
            WINDOW of audio, so that it can batch them by length; not called without pieces.
    """
    held: list[tuple[T, Window]] = []
    for given in windows:
        held.append(given)
        if sum(len(window.audio) for _, window in held) >= WINDOW:
            yield from _transcribed(held, transcribe_pieces)
            held = []
    yield from _transcribed(held, transcribe_pieces)


def _transcribed(
    windows: list[tuple[T, Window]], transcribe_pieces: Callable[[list[Audio]], list[Transcript]]
) -> Iterator[tuple[T, Window, list[Piece] | GalgameAsrError]]:
    """Transcribe windows together; if that fails each by itself, to tell which cannot be."""
    audios = [window.audio[s.start : s.end] for _, window in windows for s in window.segments]
    try:
        transcripts = iter(transcribe_pieces(audios) if audios else [])
    except GalgameAsrError as error:
        if len(windows) == 1:
            yield *windows[0], error
        else:
            for one in windows:
                yield from _transcribed([one], transcribe_pieces)
        return
    for owner, window in windows:
        yield (
            owner,
            window,
            [
                Piece(Segment(window.start + s.start, window.start + s.end), next(transcripts))
                for s in window.segments
            ],
        )


def windows(
    blocks: Iterable[Audio],
    detector: Detector,
    *,
    max_segment_s: float,
    max_gap: int = MAX_GAP,
    whole_if_short: bool = False,
) -> Iterator[Window]:
    """Find the speech of a recording; together the windows are the recording.

    Args:
        blocks: consecutive 16 kHz mono samples in [-1, 1].
        detector: finds the speech.
        max_segment_s: longest piece, before `fit`.
        max_gap: longest silence inside of a piece, in samples.
        whole_if_short: a recording in which speech is heard is one piece if it is no longer
            than that, as when utterances are decoded. Models that learned from clips say it
            worse without the silence around it: full/p100 of the embedded default had a CER of
            12.1 % on its test set's recordings as they are, and of 32.0 % where they are cut as
            longer ones are, which also loses the sentences that the detector is not sure of.
            whisper-base says eight short recordings of people as well either way (22.3 and
            22.0 %).

    Raises:
        ConfigError: as for `segments.cut`.
    """
    # Twice a piece, so that speech without a pause is cut inside of the window.
    size = max(WINDOW, round(2 * max_segment_s * SAMPLE_RATE_HZ) + TAIL)
    start = num_held = 0
    held: list[Audio] = []
    for block in blocks:
        held.append(block)
        num_held += len(block)
        if num_held < size:
            continue
        audio = np.concatenate(held)
        found = cut(audio, detector, max_segment_s=max_segment_s, max_gap=max_gap)
        window = _finished(start, audio, found)
        yield _fitted(window, max_segment_s, max_gap)
        done = len(window.audio)
        start += done
        held, num_held = [audio[done:].copy()], len(audio) - done
    audio = np.concatenate(held) if held else np.zeros(0, np.float32)
    if whole_if_short and start == 0 and len(audio) <= max_segment_s * SAMPLE_RATE_HZ:
        whole = [Segment(0, len(audio))] if detector.hears(audio) else []
        yield Window(0, audio, whole, is_last=True)
        return
    found = cut(audio, detector, max_segment_s=max_segment_s, max_gap=max_gap)
    yield _fitted(Window(start, audio, found, is_last=True), max_segment_s, max_gap)


def fit(audio: Audio, segment: Segment, previous_end: int) -> Segment:
    """Move the ends of a segment to where sound begins and ends in silence.

    Without the margins that a detector adds, cues begin and end with their speech,
    and a model that was trained on clips without silence hears what it knows.
    Where it is not silent around the segment, it stays.
    """
    first = max(previous_end, segment.start - LOOK_BACK)
    frames = audio[first : segment.end]
    frames = frames[: len(frames) // FRAME * FRAME].reshape(-1, FRAME)
    loudness = np.sqrt(np.mean(np.square(frames), axis=1))
    inside = (segment.start - first) // FRAME
    heard = loudness >= SILENT * loudness[inside:].max(initial=0.0)
    if not loudness[inside:].any():
        return segment
    if heard[:inside].sum() > inside / 2:
        heard[:inside] = False
    numbers = np.flatnonzero(heard)
    # What only begins to be heard at the end of a frame is in the frame before.
    start = first + max(int(numbers[0]) - 1, 0) * FRAME
    end = first + (int(numbers[-1]) + 2) * FRAME
    return Segment(max(start, previous_end), min(end, segment.end))


def _fitted(window: Window, max_segment_s: float, max_gap: int) -> Window:
    """Fit all segments; those that come near each other by it become one."""
    segments: list[Segment] = []
    for found in window.segments:
        segment = fit(window.audio, found, segments[-1].end if segments else 0)
        if segments and segment.start - segments[-1].end <= max_gap:
            joined = Segment(segments[-1].start, segment.end)
            if joined.end - joined.start <= max_segment_s * SAMPLE_RATE_HZ:
                segments[-1] = joined
                continue
        segments.append(segment)
    return replace(window, segments=segments)


def _finished(start: int, audio: Audio, segments: list[Segment]) -> Window:
    """What later audio cannot change, up to a place in the last silence."""
    end = len(audio) - TAIL
    if segments and segments[-1].end > end:
        last = segments[-1]
        segments = segments[:-1]
        before = segments[-1].end if segments else 0
        end = max((before + last.start) // 2, last.start - TAIL)
    return Window(start, audio[:end], segments)
