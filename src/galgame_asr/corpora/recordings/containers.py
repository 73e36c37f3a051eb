"""The sound of any audio or video file that FFmpeg reads, by PyAV, a block at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.messages.console import clock, log
from galgame_asr.messages.errors import DataError
from galgame_asr.messages.packages import of_extra

with of_extra("subtitle"):
    import av

Audio = NDArray[np.float32]

# What `read` yields at once: little memory, and few steps for hours.
BLOCK = 10 * SAMPLE_RATE_HZ
# Where a file's times leave out more than this, nothing was recorded and silence stands there, or
# all later cues would be early. Rounding of times and an encoder's padding stay below.
LEAST_GAP_S = 0.1
# More is no pause but a jump of the clock, as in joined broadcasts.
LARGEST_GAP_S = 600.0
# A file that ends so much (of its length) before the end it announces was cut off.
MISSING = 0.02


def duration_s(path: Path) -> float | None:
    """Seconds of a recording as its header tells, or None if that is silent about it.

    Raises:
        DataError: the file is missing, cannot be read, or has no sound.
    """
    with _opened(path) as (container, stream):
        return _announced_s(container, stream)


def read(path: Path) -> Iterator[Audio]:
    """Decode a recording: blocks of mono samples at 16 kHz in [-1, 1], the channels mixed.

    The first sample belongs to time 0 of the file as players show it, also where
    the sound of a video begins later. Damaged packets become silence, and are
    counted in the log.

    Raises:
        DataError: as for `duration_s`; or nothing in it can be decoded.
    """
    waiting: list[Audio] = []
    size = total = 0
    with _opened(path) as (container, stream):
        for samples in _samples(path, container, stream):
            waiting.append(samples)
            size += len(samples)
            if size >= BLOCK:
                yield np.concatenate(waiting)
                total += size
                waiting, size = [], 0
        if size:
            yield np.concatenate(waiting)
        total += size
        if not total:
            raise DataError(f"{path}: none of its sound can be decoded; the file is damaged")
        announced_s, found_s = _announced_s(container, stream), total / SAMPLE_RATE_HZ
        if announced_s and announced_s - found_s > max(1.0, MISSING * announced_s):
            log.warning(
                "%s ends at %s but announces %s: is the file complete?",
                path, clock(found_s), clock(announced_s),
            )  # fmt: skip


@contextmanager
def _opened(
    path: Path,
) -> Iterator[tuple["av.container.InputContainer", "av.AudioStream"]]:
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}; name an audio or video file")
    try:
        container = av.open(str(path.absolute()), metadata_errors="replace")
    except av.FFmpegError as error:
        raise DataError(
            f"{path} is no audio or video that FFmpeg can read, or is damaged ({error.strerror}, "
            f"{path.stat().st_size:,} bytes); does a player play it?"
        ) from None
    with container:
        stream = container.streams.best("audio")
        if not isinstance(stream, av.AudioStream):
            kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            raise DataError(f"{path} has no sound: its streams are {kinds}, none is audio")
        yield container, stream


def _announced_s(
    container: "av.container.InputContainer", stream: "av.AudioStream"
) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _samples(
    path: Path, container: "av.container.InputContainer", stream: "av.AudioStream"
) -> Iterator[Audio]:
    """Samples frame by frame, with silence for the times that the file leaves out."""
    origin_s = (container.start_time or 0) / av.time_base
    written_s = 0.0  # of what came so far
    source = resampler = None
    for frame in _frames(path, container, stream):
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != source:  # broadcasts change between stereo and mono
            if resampler:
                yield from map(_floats, resampler.resample(None))
            # FFmpeg mixes 16-bit channels so that the sum cannot clip; floats it would make louder.
            source, resampler = kind, av.AudioResampler("s16", "mono", SAMPLE_RATE_HZ)
        if frame.time is not None:
            gap_s = frame.time - origin_s - written_s
            if gap_s > LARGEST_GAP_S:
                log.warning("%s: its clock jumps at %s", path, clock(written_s))
                origin_s += gap_s
            elif gap_s > LEAST_GAP_S:
                yield np.zeros(round(gap_s * SAMPLE_RATE_HZ), np.float32)
                written_s += gap_s
        written_s += frame.samples / frame.sample_rate
        frame.pts = None  # the resampler need not care
        assert resampler is not None
        yield from map(_floats, resampler.resample(frame))
    if resampler:
        yield from map(_floats, resampler.resample(None))


def _frames(
    path: Path, container: "av.container.InputContainer", stream: "av.AudioStream"
) -> Iterator["av.AudioFrame"]:
    num_bad = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except av.FFmpegError as error:
            log.warning("%s cannot be read to its end: %s", path, error.strerror)
            break
        try:
            frames = packet.decode()
        except av.FFmpegError:
            num_bad += 1
            continue
        yield from frames
    if num_bad:
        log.warning("%s: %d damaged packets became silence", path, num_bad)


def _floats(frame: "av.AudioFrame") -> Audio:
    samples: Audio = frame.to_ndarray()[0].astype(np.float32) / 32768
    return samples
