"""Recordings with known speech, and containers to put them into."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from galgame_asr.corpora.synthetic import fetch as synthetic
from galgame_asr.decoding.segments import Segment

RATE_HZ = 16_000
# By suffix: FFmpeg's encoder, and the rate it is asked for.
CODECS = {
    ".mp3": ("mp3", 44_100),
    ".mp4": ("aac", 48_000),
    ".mkv": ("libopus", 48_000),
    ".wav": ("pcm_s16le", 16_000),
    ".flac": ("flac", 16_000),
    ".ogg": ("libopus", 48_000),
}


def lines() -> list[str]:
    """Sixty sentences about three people whom the embedded corpus does not know."""
    templates = [*synthetic.DIALOGUE, *synthetic.NARRATION, "{name}、{name}。"]
    words = synthetic.WORDS
    texts = []
    for number, name in enumerate(["真冬", "小春", "千夏"]):
        for place, template in enumerate(templates):
            chosen = {key: values[(number + place) % len(values)] for key, values in words.items()}
            texts.append(template.format(**chosen | {"call": name, "name": name}))
    return texts


def speak(text: str, number: int = 0) -> NDArray[np.float32]:
    """A sentence in one of the corpus' voices."""
    voices = [*synthetic.VOICES["vn"], *synthetic.VOICES["reading"]]
    return synthetic.speak(text, voices[number % len(voices)]).astype(np.float32)


def stitch(
    parts: Sequence[NDArray[np.float32]], pauses_s: Sequence[float]
) -> tuple[NDArray[np.float32], list[Segment]]:
    """Speech with silence before each part, and at the end; and where the parts are."""
    audio: list[NDArray[np.float32]] = []
    bounds, at = [], 0
    silences = [np.zeros(round(s * RATE_HZ), np.float32) for s in pauses_s]
    for silence, part in zip(silences[:-1], parts, strict=True):
        audio += [silence, part]
        bounds.append(Segment(at + len(silence), at + len(silence) + len(part)))
        at = bounds[-1].end
    return np.concatenate([*audio, silences[-1]]), bounds


def write(
    path: Path, audio: NDArray[np.float32], *, late_s: float = 0.0, video: bool = False
) -> None:
    """Write 16 kHz samples into the container that the suffix tells, with pictures if asked for."""
    codec, rate_hz = CODECS[path.suffix]
    pcm = np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16)
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        if video:
            pictures = container.add_stream("mpeg4", rate=5)
            assert isinstance(pictures, av.VideoStream)
            pictures.width = pictures.height = 32
            pictures.pix_fmt = "yuv420p"
        sound = container.add_stream(codec, rate=rate_hz, layout="mono") if len(pcm) else None
        if video:
            for number in range(5 * (1 + int(len(pcm) / RATE_HZ))):
                picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
                picture.pts = number
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        if sound:
            assert isinstance(sound, av.AudioStream)
            for packet in _encode(sound, pcm, round(late_s * rate_hz)):
                container.mux(packet)


def _encode(
    sound: av.AudioStream, pcm: NDArray[np.int16], at: int
) -> Iterator["av.Packet[av.AudioStream]"]:
    """Packets of 16 kHz samples, the first at time `at` of the stream's rate."""
    context = sound.codec_context
    resampler = av.AudioResampler(context.format, "mono", context.sample_rate)
    frame = av.AudioFrame.from_ndarray(pcm[None], "s16", "mono")
    frame.sample_rate = RATE_HZ
    for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
        resampled.pts = at
        at += resampled.samples
        yield from sound.encode(resampled)
    yield from sound.encode(None)
