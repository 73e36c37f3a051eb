"""A film of ten minutes with subtitles that drift becomes utterances that begin and end as said."""

import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from galgame_asr.core.params import parse
from galgame_asr.core.reader import ShardReader
from galgame_asr.corpora.recordings.params import Recordings
from tests.corpora import manifest
from tests.recordings import RATE_HZ, lines, speak, stitch, write
from tests.unit.corpora.test_recordings_kind import srt

LENGTH_S = 600.0
LATE_S = 0.8  # at the end of the film


def test_ten_minutes_of_drifting_subtitles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine of ten bounds are within 0.15 s of the speech; as they are shown they are not.

    The audio of a row is looked for in the film, sample by sample, so that nothing of the kind's
    own is believed.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").mkdir()
    draw = random.Random(0)
    spoken = [speak(text, number) for number, text in enumerate(lines())]
    parts, pauses_s, length_s = list[NDArray[np.float32]](), [1.0], 0.0
    while length_s < LENGTH_S - 10:
        part = spoken[len(parts) % len(spoken)] * draw.uniform(0.3, 1.0)
        parts.append(part.astype(np.float32))
        pauses_s.append(draw.choice([0.3, 0.5, 0.8, 1.5, 3.0, 6.0]))
        length_s = sum(map(len, parts)) / RATE_HZ + sum(pauses_s)
    audio, bounds = stitch(parts, pauses_s)
    audio = (audio + np.random.default_rng(0).normal(0, 1e-3, len(audio))).astype(np.float32)
    write(tmp_path / "films/1.flac", audio)
    true = np.array([[one.start_s, one.end_s] for one in bounds])
    shown = true + LATE_S * true[:, :1] / LENGTH_S
    texts = [f"{number}番" for number in range(len(true))]
    (tmp_path / "films/1.srt").write_text(srt(shown, texts))

    values = {"kind": "recordings", "path": str(tmp_path / "films"), "shard_size": 64}
    rows = list(manifest(parse(Recordings, values, "corpora.c")).values())
    assert len(rows) == len(true)
    used = [row for row in rows if "draft" not in row["flags"]]
    assert len(used) > 0.97 * len(true)
    reader, off = ShardReader(Path("data/raw")), []
    for row in used:
        start_s, end_s = true[int(row["text"].removesuffix("番"))]
        own = reader.read_row(row)
        first = max(round((start_s - 3) * RATE_HZ), 0)
        at = (first + found(audio[first : first + len(own) + 6 * RATE_HZ], own)) / RATE_HZ
        off += [abs(at - start_s), abs(at + len(own) / RATE_HZ - end_s)]
    assert np.quantile(off, 0.9) <= 0.15, np.quantile(off, [0.5, 0.9, 0.95])
    assert np.quantile(np.abs(shown - true), 0.9) > 0.6


def found(audio: NDArray[np.float32], part: NDArray[np.float32]) -> int:
    """Where the part is in the audio that fits it best."""
    size = len(audio) + len(part)
    fitting = np.fft.irfft(np.fft.rfft(audio, size) * np.conj(np.fft.rfft(part, size)), size)
    return int(fitting[: len(audio)].argmax())
