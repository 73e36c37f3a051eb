"""Saved states are on the disk before those that they take the place of go."""

import os
from pathlib import Path

import pytest

from galgame_asr.training import states


def test_a_state_syncs_itself_alone_and_then_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never the whole machine, which can wait minutes for what others write."""
    state, synced = states.path(tmp_path, 3), list[tuple[Path, bool]]()

    def fsync(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), state.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "sync", None)
    with states.writing(state) as temporary:
        (temporary / "sharded").mkdir()
        for name in ("learned.pt", "sharded/0.pt"):
            (temporary / name).touch()
    parts = {temporary / name for name in ("learned.pt", "sharded/0.pt", "sharded", ".")}
    assert set(synced[:-1]) == {(part, False) for part in parts}
    assert synced[-1] == (tmp_path, True)
