"""Any container gives the same sound at the same time; what is damaged is named."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from numpy.typing import NDArray

from galgame_asr.corpora.recordings import containers
from galgame_asr.messages.errors import ConfigError, DataError
from tests.models import noise
from tests.recordings import CODECS, RATE_HZ, write


def decode(path: Path) -> NDArray[np.float32]:
    return np.concatenate(list(containers.read(path)))


def beeps(seconds: float, every_s: float = 2.0) -> NDArray[np.float32]:
    """A short tone at each multiple of `every_s`."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    on = (time_s % every_s) < 0.1
    return (0.5 * on * np.sin(2 * np.pi * 1000 * time_s)).astype(np.float32)


def onsets(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Where tones begin, in seconds."""
    loud = np.flatnonzero(np.abs(audio) > 0.1)
    first = np.flatnonzero(np.diff(loud, prepend=-RATE_HZ) > RATE_HZ // 2)
    times: NDArray[np.float64] = loud[first] / RATE_HZ
    return times


@pytest.mark.parametrize("suffix", CODECS)
def test_containers_keep_the_times(tmp_path: Path, suffix: str) -> None:
    """Every codec: encoders' padding is no sound, and blocks join without a gap."""
    path = tmp_path / f"a{suffix}"
    write(path, beeps(25.0), video=suffix == ".mp4")
    assert containers.duration_s(path) == pytest.approx(25.0, abs=0.15)
    audio = decode(path)
    assert audio.dtype == np.float32
    assert len(audio) / RATE_HZ == pytest.approx(25.0, abs=0.15)
    np.testing.assert_allclose(onsets(audio), np.arange(0, 25, 2.0), atol=0.03)


def test_lossless_sound_is_the_same_as_elsewhere(tmp_path: Path) -> None:
    """Sample for sample; of several channels the mean; other rates resampled."""
    audio = noise(1.0)
    pcm = (audio * 32767).astype(np.int16)
    sf.write(tmp_path / "a.wav", pcm, RATE_HZ)
    np.testing.assert_array_equal(decode(tmp_path / "a.wav"), pcm.astype(np.float32) / 32768)
    sf.write(tmp_path / "b.flac", np.stack([pcm, pcm // 3], axis=1), RATE_HZ)
    mixed = (pcm.astype(np.float32) + pcm // 3) / 2 / 32768
    np.testing.assert_allclose(decode(tmp_path / "b.flac"), mixed, atol=1e-4)
    sf.write(tmp_path / "c.wav", beeps(3.0), 48_000)
    np.testing.assert_allclose(len(decode(tmp_path / "c.wav")), RATE_HZ, atol=2)


def test_late_sound_stays_late(tmp_path: Path) -> None:
    """Where a video's sound begins after its pictures, as players have it."""
    path = tmp_path / "a.mkv"
    write(path, beeps(6.0), late_s=1.5, video=True)
    np.testing.assert_allclose(onsets(decode(path)), [1.5, 3.5, 5.5], atol=0.03)


def test_damage_inside_is_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What follows keeps its times; a file that ends early is decoded, and the log tells."""
    path = tmp_path / "a.mp4"
    write(path, noise(12.0))
    intact = decode(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = b"\xff" * 3000
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, logger="galgame_asr"):
        audio = decode(path)
    assert "damaged packets became silence" in caplog.text
    assert len(audio) == len(intact)
    # AAC fills in noise at random, but not its loudness.
    ends = [np.square(x[-3 * RATE_HZ :]).reshape(-1, 800).mean(axis=1) for x in (audio, intact)]
    assert np.corrcoef(ends)[0, 1] > 0.9
    whole = tmp_path / "b.flac"
    write(whole, noise(20.0))
    cut_off = tmp_path / "c.flac"
    cut_off.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with caplog.at_level(logging.WARNING, logger="galgame_asr"):
        assert 5 < len(decode(cut_off)) / RATE_HZ < 15
    assert "c.flac ends at" in caplog.text
    assert "announces 0:20" in caplog.text


def test_what_has_no_sound_is_named(tmp_path: Path) -> None:
    """Missing, a folder, no media file, cut off before its index, pictures alone, no samples."""
    with pytest.raises(DataError, match=r"a.mp3 does not exist; name an audio"):
        containers.duration_s(tmp_path / "a.mp3")
    with pytest.raises(DataError, match="is a directory"):
        list(containers.read(tmp_path))
    (tmp_path / "text.mp4").write_text("this is a text\n" * 100)
    with pytest.raises(DataError, match=r"text.mp4 is no audio or video that FFmpeg can read"):
        containers.duration_s(tmp_path / "text.mp4")
    (tmp_path / "empty.wav").touch()
    with pytest.raises(DataError, match=r"empty.wav is no audio .*, 0 bytes"):
        containers.duration_s(tmp_path / "empty.wav")
    write(tmp_path / "whole.mp4", beeps(4.0), video=True)
    half = (tmp_path / "whole.mp4").read_bytes()
    half = half[: len(half) // 2]
    (tmp_path / "half.mp4").write_bytes(half)
    with pytest.raises(DataError, match=r"half.mp4 is no audio .* or is damaged"):
        containers.duration_s(tmp_path / "half.mp4")
    write(tmp_path / "silent.mp4", np.zeros(0, np.float32), video=True)
    with pytest.raises(DataError, match=r"silent.mp4 has no sound: its streams are video"):
        containers.duration_s(tmp_path / "silent.mp4")
    sf.write(tmp_path / "nothing.wav", np.zeros(0), RATE_HZ)
    with pytest.raises(DataError, match=r"none of its sound can be decoded|FFmpeg can read"):
        decode(tmp_path / "nothing.wav")


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("corpora.recordings.containers", "av"),
        ("corpora.recordings.speech", "silero_vad"),
        ("corpora.recordings.subtitles", "pysubs2"),
        ("recordings.subtitles.lines", "budoux"),
        ("recordings.subtitles.files", "pysubs2"),
    ],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    """With the line that installs it."""
    monkeypatch.delitem(sys.modules, f"galgame_asr.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{package} is not installed: pip .*\[subtitle\]"):
        __import__(f"galgame_asr.{module}")
