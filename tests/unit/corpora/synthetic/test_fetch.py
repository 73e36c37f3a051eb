"""The embedded corpus is the same everywhere, and safe to split by text."""

import dataclasses
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from galgame_asr.core.params import parse
from galgame_asr.corpora.common import fetch as corpora
from galgame_asr.corpora.synthetic import fetch as synthetic
from galgame_asr.corpora.synthetic import sounds
from galgame_asr.corpora.synthetic.params import Synthetic
from galgame_asr.messages.errors import ConfigError
from galgame_asr.shards import folder as shards
from galgame_asr.shards import tar

VN = Synthetic(kind="synthetic", recipe="vn", utterances=6, seed=1, shard_size=4)


def test_shards_hold_sorted_pairs(tmp_path: Path) -> None:
    """WebDataset layout: ID.ogg and ID.txt side by side, ids rising within and across shards."""
    corpora.fetch("vn", VN, tmp_path)
    shards = sorted(tmp_path.glob("*.tar"))
    assert [shard.name for shard in shards] == ["vn-000000.tar", "vn-000001.tar"]
    names = [member.name for shard in shards for member in tar.members(shard)]
    ids = [name.removesuffix(".ogg") for name in names[::2]]
    assert names == [f"{id_}.{extension}" for id_ in sorted(ids) for extension in ("ogg", "txt")]


def test_the_same_params_give_the_same_bytes() -> None:
    """Text, order, ids and, on one machine, audio."""
    first, second = synthetic.compose(VN), synthetic.compose(VN)
    assert first == second
    assert synthetic.render(first[0]) == synthetic.render(second[0])


@pytest.mark.parametrize("recipe", ["vn", "reading"])
def test_no_sentence_stands_twice(recipe: str) -> None:
    """Splitting by text puts every sentence into one set only if each is rendered once."""
    sentences = synthetic.all_sentences(recipe)
    assert len(set(sentences)) == len(sentences)


def test_the_base_model_can_know_every_character() -> None:
    """`vn` uses no letter that `reading`, which the base model learns, does not have."""
    letters = {r: set("".join(synthetic.all_sentences(r))) for r in ("vn", "reading")}
    assert letters["vn"] <= letters["reading"]


def test_more_utterances_than_sentences_are_said_by_others() -> None:
    """No character says a sentence twice, and all sentences come before any comes again."""
    lines = synthetic.compose(replace(VN, utterances=1200))
    assert len({line.id for line in lines}) == 1200
    said = Counter(line.spoken for line in lines)
    assert set(said) == set(synthetic.all_sentences("vn"))
    assert set(said.values()) == {2, 3}
    assert len({(line.spoken, line.voice) for line in lines}) == 1200
    few = {line.id for line in synthetic.compose(replace(VN, utterances=518))}
    assert few < {line.id for line in lines}


@pytest.mark.parametrize(("recipe", "voices"), [("vn", 4), ("reading", 1)])
def test_more_utterances_than_all_can_say_is_an_error(recipe: str, voices: int) -> None:
    """The same audio twice would teach nothing."""
    too_many = Synthetic(kind="synthetic", recipe=recipe, utterances=9999, seed=1, shard_size=4)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"sentences, said by {voices}; utterances is 9999"):
        synthetic.compose(too_many)


def test_speech_is_audible_and_not_clipped() -> None:
    """16 kHz mono, loud enough, below full scale; music stays below the speech."""
    line = next(line for line in synthetic.compose(VN) if not line.chords_hz)
    with_music = synthetic.Line(line.id, line.text, line.spoken, line.voice, ((220.0,),))
    audio, rate_hz = sf.read(io.BytesIO(synthetic.render(line)))
    mixed, _ = sf.read(io.BytesIO(synthetic.render(with_music)))
    assert rate_hz == 16_000
    assert audio.ndim == 1
    assert 0.5 < np.abs(audio).max() < 0.95
    assert 0 < np.mean((mixed - audio) ** 2) < 0.1 * np.mean(audio**2)


def test_speech_over_noise(tmp_path: Path) -> None:
    """The same sentences, ids and voices, in drawn ratios, at the loudness that they had."""
    noisy = synthetic.compose(dataclasses.replace(VN, noise_snr_db=(0.0, 10.0)))
    for line, plain in zip(noisy, synthetic.compose(VN), strict=True):
        assert line.over is not None
        assert dataclasses.replace(line, over=None, snr_db=0.0) == plain
        assert 0 <= line.snr_db <= 10
        speech, heard = synthetic.say(plain), synthetic.say(line)
        assert np.abs(heard).max() == pytest.approx(np.abs(speech).max())
        # Music or noise, and speech, in shares that add up to what is heard.
        sound = sounds.samples(line.over, len(speech))
        parts, *_ = np.linalg.lstsq(np.stack([speech, sound], axis=1), heard, rcond=None)
        levels = parts * [np.sqrt(np.mean(speech**2)), 1.0]
        assert 20 * np.log10(levels[0] / levels[1]) == pytest.approx(line.snr_db, abs=1e-6)
    assert len({line.snr_db for line in noisy}) == len(noisy)
    assert {bool(line.over.chords_hz) for line in noisy if line.over} == {True, False}


def test_clips_of_noise(tmp_path: Path) -> None:
    """Of no text, for no set; all differ, none is silent or clipped, and they come out the same."""
    corpora.fetch(
        "bgm",
        Synthetic(kind="synthetic", recipe="noise", utterances=6, seed=1, shard_size=4),
        tmp_path,
    )
    (first, second) = sorted(tmp_path.glob("*.tar"))
    members = [*tar.members(first), *tar.members(second)]
    assert [member.name.rpartition(".")[2] for member in members] == ["ogg"] * 6
    assert [one.upstream_set for one in shards.listed(tmp_path)] == ["not_speech"] * 2
    drawn = sounds.clips(1, 6)
    assert [member.name.removesuffix(".ogg") for member in members] == [one.id for one in drawn]
    rendered = [synthetic.render(one) for one in drawn]
    assert rendered == [synthetic.render(one) for one in sounds.clips(1, 6)]
    assert len(set(rendered)) == 6
    for one, data in zip(drawn, rendered, strict=True):
        audio, _ = sf.read(io.BytesIO(data))
        assert len(audio) == one.num_samples
        assert 0.3 < np.abs(audio).max() < 0.7
        assert np.sqrt(np.mean(audio**2)) > 0.03


@pytest.mark.parametrize("change", [{"noise_snr_db": [5.0, 0.0]}, {"recipe": "noise"}])
def test_only_speech_is_drowned(change: dict[str, object]) -> None:
    """In a range that rises."""
    entry = dataclasses.asdict(VN) | {"noise_snr_db": [0.0, 5.0]} | change
    with pytest.raises(ConfigError, match="noise_snr_db rises"):
        parse(Synthetic, entry, "corpora.vn")
