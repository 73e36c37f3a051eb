"""Utterances are read in place, and a damaged shard is named."""

import io
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from galgame_asr.core.reader import ShardReader
from galgame_asr.messages.errors import DataError
from galgame_asr.shards import tar
from tests.conftest import tone


def test_another_format_becomes_16_khz_mono(make_shard: Callable[..., Path]) -> None:
    """Stereo at 44.1 kHz is mixed and resampled; the duration stays."""
    time_s = np.arange(44_100) / 44_100
    stereo = np.stack([np.sin(2 * np.pi * 440 * time_s), np.zeros(44_100)], axis=1)
    buffer = io.BytesIO()
    sf.write(buffer, stereo, 44_100, format="FLAC")
    shard = make_shard({"a.flac": buffer.getvalue()})
    (member,) = tar.members(shard)
    row: dict[Hashable, Any] = {
        "id": "a", "shard": "vn/vn-000000.tar", "offset": member.offset, "size": member.size,
    }  # fmt: skip
    audio = ShardReader(shard.parents[1]).read_row(row)
    assert audio.dtype == np.float32
    assert abs(len(audio) - 16_000) <= 1
    assert 0.45 < np.abs(audio).max() < 0.55


def test_damage_is_named(make_shard: Callable[..., Path]) -> None:
    """A missing shard, a cut one and bytes that are no audio are three messages."""
    shard = make_shard({"a.ogg": tone(0.5)})
    (member,) = tar.members(shard)
    row: dict[Hashable, Any] = {
        "id": "a",
        "shard": "vn/vn-000000.tar",
        "offset": member.offset,
        "size": member.size,
    }
    reader = ShardReader(shard.parents[1])
    with pytest.raises(DataError, match=r"utterance a: .*vn-000000\.tar at byte 0: no audio"):
        reader.read_row(row | {"offset": 0})
    with pytest.raises(DataError, match=r"utterance a: shard .*vn-9\.tar is missing; `dvc"):
        reader.read_row(row | {"shard": "vn/vn-9.tar"})
    shard.write_bytes(shard.read_bytes()[: member.offset + 10])
    with pytest.raises(DataError, match=f"ends {member.size - 10} bytes before"):
        reader.read_row(row)
