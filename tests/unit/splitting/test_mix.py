"""Shares of corpora nest, and repeats are whole."""

import pandas as pd
import pytest

from galgame_asr.messages.errors import ConfigError
from galgame_asr.splitting.mix import select

ROWS = pd.DataFrame({"id": [f"u{i}" for i in range(1000)], "corpus": ["vn", "reading"] * 500})


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
