"""Shares of corpora nest, and repeats are whole."""

import pandas as pd
import pytest

from galgame_asr.messages.errors import ConfigError
from galgame_asr.splitting.mix import LONGEST_SILENCE_S, mixed, select

ROWS = pd.DataFrame({"id": [f"u{i}" for i in range(1000)], "corpus": ["vn", "reading"] * 500})
SPEECH = ROWS.assign(text="はい", duration_s=2.0, upstream_set=None, flags=pd.Series([[]] * 1000))
# Three minutes of music each; speech that has none in it; what another flag leaves out.
LEFT_OUT = pd.DataFrame(
    [
        *((f"m{i}", "bgm", "", 180.0, "not_speech", ["not_speech"]) for i in range(100)),
        ("breath", "vn", "はあ", 1.0, None, ["not_speech"]),
        ("silent", "bgm", "", 3.0, "not_speech", ["silent"]),
        ("far", "vn", "はい", 2.0, None, ["limit"]),
    ],
    columns=["id", "corpus", "text", "duration_s", "upstream_set", "flags"],
)


def test_shares_nest() -> None:
    """The utterances of a small share are among those of a larger one."""
    small, large = (set(select(ROWS, {"vn": share})["id"]) for share in (0.1, 0.3))
    assert small < large
    assert abs(len(large) - 150) < 40


def test_a_share_above_one_repeats() -> None:
    """2.5 is every utterance twice and about half of them once more."""
    counts = select(ROWS, {"vn": 2.5})["id"].value_counts()
    assert set(counts) == {2, 3}
    assert len(counts) == 500


def test_only_named_corpora_are_used() -> None:
    """A corpus outside the mix contributes nothing; an unknown one is an error."""
    assert set(select(ROWS, {"reading": 1.0})["corpus"]) == {"reading"}
    with pytest.raises(ConfigError, match=r"mix names corpus 'nv'.*known: reading, vn"):
        select(ROWS, {"nv": 1.0})


def test_music_is_noise_and_trains_to_silence() -> None:
    """In its share, nested and after the speech; all of it is noise. Dev has speech alone."""
    plain = mixed(SPEECH, SPEECH[:100], LEFT_OUT, {"reading": 1.0})
    assert list(plain) == ["train", "dev"]
    tables = mixed(SPEECH, SPEECH[:100], LEFT_OUT, {"reading": 1.0, "bgm": 0.2})
    assert list(tables) == ["train", "dev", "noise"]
    pd.testing.assert_frame_equal(tables["train"][:500], plain["train"])
    pd.testing.assert_frame_equal(tables["dev"], plain["dev"])
    learnt = tables["train"][500:]
    assert 10 < len(learnt) < 30
    assert set(learnt["text"]) == {""}
    assert set(learnt["duration_s"]) == {LONGEST_SILENCE_S}
    assert tables["noise"]["id"].tolist() == [f"m{i}" for i in range(100)]
    assert set(tables["noise"]["duration_s"]) == {180.0}
    more = mixed(SPEECH, SPEECH[:100], LEFT_OUT, {"reading": 1.0, "bgm": 1.0})["train"][500:]
    assert set(learnt["id"]) < set(more["id"]) == set(tables["noise"]["id"])


def test_music_for_noise_alone() -> None:
    """Of share 0 nothing trains."""
    tables = mixed(SPEECH, SPEECH, LEFT_OUT, {"reading": 1.0, "bgm": 0.0})
    pd.testing.assert_frame_equal(tables["train"], select(SPEECH, {"reading": 1.0}))
    assert len(tables["noise"]) == 100


def test_speech_that_has_none_trains_to_silence_and_is_no_noise() -> None:
    """Whatever its text was; what was left out for another reason stays out."""
    tables = mixed(SPEECH, SPEECH, LEFT_OUT, {"vn": 1.0})
    assert list(tables) == ["train", "dev"]
    assert tables["train"].iloc[-1][["id", "text", "duration_s"]].tolist() == ["breath", "", 1.0]
    assert len(tables["train"]) == 501
    said = [{"start_s": 0.0, "end_s": 1.0, "text": "はあ"}]
    timed = LEFT_OUT.assign(sentences=pd.Series([said] * len(LEFT_OUT)))
    assert mixed(SPEECH, SPEECH, timed, {"vn": 1.0})["train"].iloc[-1]["sentences"] is None


def test_a_mix_has_speech() -> None:
    """A phase has nothing to be scored by without."""
    with pytest.raises(ConfigError, match="mix names bgm alone, without speech"):
        mixed(SPEECH, SPEECH, LEFT_OUT, {"bgm": 1.0})
    with pytest.raises(ConfigError, match=r"mix names corpus 'nv'.*known: reading, vn"):
        mixed(SPEECH, SPEECH, LEFT_OUT, {"vn": 1.0, "nv": 1.0})
