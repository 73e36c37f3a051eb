"""Noise is as loud as was drawn, comes from a drawn place, and depends on nothing else."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from numpy.typing import NDArray

from galgame_asr.core.params import parse
from galgame_asr.core.reader import ShardReader
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.shards import tar
from galgame_asr.training.noise import Drawn, Noise, cut, mixed, rms
from galgame_asr.training.params import AugmentParams, NoiseParams

RATE_HZ = 16_000
SPEECH = (0.1 * np.random.default_rng(0).standard_normal(RATE_HZ)).astype(np.float32)
RAMP = np.arange(10, dtype=np.float32)


def noise_of(root: Path, share: float = 1.0, **clips: NDArray[np.float32]) -> Noise:
    """Noise of these clips in a shard."""
    files = []
    for name, samples in clips.items():
        sf.write(root / f"{name}.flac", samples, RATE_HZ)
        files.append((f"{name}.flac", (root / f"{name}.flac").read_bytes()))
    tar.write(root / "bgm.tar", files)
    rows = pd.DataFrame(
        [
            (m.name.removesuffix(".flac"), "bgm", "bgm.tar", m.offset, m.size)
            for m in tar.members(root / "bgm.tar")
        ],
        columns=["id", "corpus", "shard", "offset", "size"],
    )
    params = NoiseParams(share=share, snr_db=(0.0, 20.0))
    return Noise(rows, ShardReader(root), params, cache_bytes=10**6)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5])
def test_the_mix_has_the_drawn_ratio(tmp_path: Path, seconds: float) -> None:
    """Over the whole utterance, of clips that are shorter, as long and longer."""
    clip = 0.5 * np.random.default_rng(1).standard_normal(round(seconds * RATE_HZ)).clip(-1, 1)
    noise = noise_of(tmp_path, a=clip.astype(np.float32))
    for number in range(8):
        drawn = noise.draw([0, number])
        assert drawn is not None
        assert 0 <= drawn.snr_db <= 20
        heard = noise.add(SPEECH, drawn)
        assert heard.dtype == np.float32
        added = heard.astype(np.float64) - SPEECH
        found_db = 20 * math.log10(rms(SPEECH) / rms(added.astype(np.float32)))
        assert found_db == pytest.approx(drawn.snr_db, abs=1e-3)


def test_a_longer_clip_is_cut_and_a_shorter_one_repeated() -> None:
    """From every place on, the last too; nothing is heard twice before all was heard once."""
    starts = {int(cut(RAMP, 4, place)[0]) for place in np.arange(0, 1, 0.01)}
    assert starts == set(range(7))
    assert cut(RAMP, 4, 0.999).tolist() == [6, 7, 8, 9]
    assert cut(RAMP, 10, 0.0).tolist() == RAMP.tolist()
    assert cut(RAMP, 13, 0.5).tolist() == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7]


def test_what_is_drawn_depends_on_the_seed_alone(tmp_path: Path) -> None:
    """Whatever was drawn before; clips, places and ratios differ, and the share is kept."""
    clip = (RAMP / 10).astype(np.float32)
    noise, again = (noise_of(tmp_path, share=0.3, a=clip, b=clip, c=clip) for _ in range(2))
    drawn = [noise.draw([7, number]) for number in range(2000)]
    assert [again.draw([7, number]) for number in reversed(range(2000))] == drawn[::-1]
    some = [one for one in drawn if one]
    assert 500 < len(some) < 700
    assert {one.clip for one in some} == {0, 1, 2}
    assert 9 < np.mean([one.snr_db for one in some]) < 11
    assert [noise.draw([8, number]) for number in range(2000)] != drawn


def test_a_silent_clip_is_named(tmp_path: Path) -> None:
    """It has no ratio to anything; a silent stretch of another adds nothing."""
    quiet = np.zeros(RATE_HZ, np.float32)
    noise = noise_of(tmp_path, hush=quiet, song=np.append(quiet, SPEECH))
    with pytest.raises(DataError, match=r"clip bgm/hush is silent; name it in exclusions/bgm\.tsv"):
        noise.add(SPEECH, Drawn(0, 0.0, 10.0))
    assert np.array_equal(noise.add(SPEECH, Drawn(1, 0.0, 10.0)), SPEECH)
    assert np.array_equal(mixed(quiet, SPEECH, 10.0), quiet)


def test_a_damaged_clip_stops_and_leaves_no_speech_out(tmp_path: Path) -> None:
    """Its speech is not what is wrong."""
    noise = noise_of(tmp_path, a=SPEECH)
    noise.rows["size"] = 20
    with pytest.raises(DataError, match=r"augment\.noise: clip of bgm: utterance a: .*no audio"):
        noise.add(SPEECH, Drawn(0, 0.0, 10.0))


def test_values_that_cannot_be() -> None:
    """A range that falls, and a share of nothing."""
    for value, message in (
        ({"snr_db": [20.0, 5.0]}, "snr_db must rise; it is 20 to 5"),
        ({"share": 0.0}, "share"),
        ({"corpus": "bgm"}, "unknown key"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse(AugmentParams, {"noise": value}, "augment")
    assert parse(AugmentParams, {"noise": {}}, "augment").noise == NoiseParams()
