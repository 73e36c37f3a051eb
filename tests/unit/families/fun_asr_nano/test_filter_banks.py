"""Our filter banks against funasr's, whose frames kaldi-native-fbank computes one by one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from galgame_asr.families.fun_asr_nano.filter_banks import FilterBanks
from galgame_asr.families.fun_asr_nano.funasr_parts import WavFrontend

CONFIG = {"fs": 16000, "window": "hamming", "n_mels": 80, "lfr_m": 7, "lfr_n": 6}
NOISE = np.random.default_rng(0)


def both(samples: NDArray[np.float32], **config: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Features by us and by funasr, (T, 560)."""
    given = torch.from_numpy(samples)[None]
    ours, lengths = FilterBanks(**CONFIG | config)(given, [len(samples)])
    theirs, _ = WavFrontend(**CONFIG | config, dither=0.0)(given, [len(samples)])
    assert lengths.tolist() == [ours.shape[1]]
    return ours[0], theirs[0]


def noise(length: int, loudness: float = 0.1) -> NDArray[np.float32]:
    return (NOISE.normal(size=length) * loudness).astype(np.float32)


def exact(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """The definition in double precision, bands by loops: (T, 80)."""
    mels = 1127 * np.log(1 + np.array([20.0, 8000.0]) / 700)
    step = (mels[1] - mels[0]) / 81
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 399)
    found = []
    for start in range(0, len(samples) - 399, 160):
        frame = samples[start : start + 400].astype(np.float64) * 2**15
        frame -= frame.mean()
        frame -= 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(frame * window, 512)) ** 2
        bands = np.zeros(80)
        for band in range(80):
            left, right = mels[0] + band * step, mels[0] + (band + 2) * step
            for number in range(256):
                mel = 1127 * np.log(1 + number * 16000 / 512 / 700)
                if left < mel < right:
                    bands[band] += power[number] * (1 - abs(mel - (left + right) / 2) / step)
        found.append(np.log(np.maximum(bands, np.finfo(np.float32).eps)))
    return np.array(found)


@pytest.mark.parametrize(
    "samples",
    [
        noise(16_000),
        noise(16_000, 1e-4),
        noise(16_000) + np.float32(0.5),  # an offset
        (0.9 * np.sin(np.arange(16_000) * 0.01)).astype(np.float32) + noise(16_000, 1e-4),
    ],
    ids=["noise", "quiet", "offset", "hum"],
)
def test_they_are_as_exact_as_kaldis(samples: NDArray[np.float32]) -> None:
    """On average, of the definition in double precision; and at most 0.02 from Kaldi's."""
    config = {"lfr_m": 1, "lfr_n": 1}
    ours, theirs = both(samples, **config)
    wanted = exact(samples)
    own, their = (np.abs(found.numpy() - wanted).mean() for found in (ours, theirs))
    assert own < max(1.2 * their, 2e-6)
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0)


def test_every_length_has_funasrs_frames() -> None:
    """Shorter than a frame bit for bit, since funasr itself computes it."""
    for length in (*range(300, 400, 33), *range(399, 2400, 7), 480_000):
        ours, theirs = both(noise(length))
        assert ours.shape == theirs.shape, length
        if length < 400:
            assert torch.equal(ours, theirs), length


def test_silence_is_kaldis_floor() -> None:
    """Bit for bit."""
    ours, theirs = both(np.zeros(8000, np.float32))
    assert torch.equal(ours, theirs)


def test_other_settings_are_funasrs_own() -> None:
    """Another window is computed as there; other bands and stacks agree."""
    ours, theirs = both(noise(8000), window="hanning")
    assert torch.equal(ours, theirs)
    ours, theirs = both(noise(8000), n_mels=40, lfr_m=5, lfr_n=3, frame_shift=8)
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0)


def test_a_normalisation_is_applied(tmp_path: Path) -> None:
    """Of a file of means and variances, as funasr applies it."""
    file = tmp_path / "am.mvn"
    shift, scale = (" ".join(["0.5"] * 560), " ".join(["2"] * 560))
    lines = ["<AddShift> 560 560", f"<LearnRateCoef> 0 [ {shift} ]"]
    lines += ["<Rescale> 560 560", f"<LearnRateCoef> 0 [ {scale} ]"]
    file.write_text("\n".join(lines))
    ours, theirs = both(noise(8000), cmvn_file=str(file))
    torch.testing.assert_close(ours, theirs, atol=0.04, rtol=0)


def test_neither_threads_nor_autocast_change_a_bit() -> None:
    """Nor the utterances computed before."""
    samples = torch.from_numpy(noise(16_000))[None]
    banks, threads = FilterBanks(**CONFIG), torch.get_num_threads()
    first, _ = banks(samples, [16_000])
    try:
        torch.set_num_threads(2)
        with torch.autocast("cpu", torch.bfloat16):
            again, _ = banks(samples, [16_000])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(first, again)
