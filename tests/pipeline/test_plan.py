"""The plan that docs/ shows is what the command prints."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from galgame_asr.cli import dispatch
from tests.conftest import REPOSITORY
from tests.readme import TOKEN

PAGE = "docs/rented-machines.md"
NUMBER = re.compile(r"\b\d+(?:\.\d+)?\b")


def test_the_page_shows_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For the profile `galgame`, before any data is here; numbers within 5 %, for another torch."""
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    (tmp_path / "profiles").symlink_to(REPOSITORY / "profiles")
    monkeypatch.chdir(tmp_path)
    dispatch(["profile", "galgame"])
    capsys.readouterr()
    deterministic = torch.are_deterministic_algorithms_enabled()
    dispatch(["plan"])
    torch.use_deterministic_algorithms(deterministic)
    printed = capsys.readouterr().out
    tokens = TOKEN.finditer((REPOSITORY / PAGE).read_text())
    (block,) = [token["block"] for token in tokens if "Which card?" in (token["block"] or "")]
    words = [[*NUMBER.sub("N", text).split()] for text in (block, printed)]
    assert words[0] == words[1]
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (block, printed)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.05)
    assert len(printed.splitlines()) <= 30
