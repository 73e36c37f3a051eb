"""The seed's normalisation is the seed's own, and stays out of everything else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from galgame_asr.messages.errors import ConfigError
from galgame_asr.scoring.seed import seed_normalise

VECTORS = json.loads((Path(__file__).parents[1] / "normalise_vectors.json").read_text("utf-8"))


def test_all_vectors() -> None:
    """Every output recorded from the seed is reproduced; it puts spaces between characters."""
    pytest.importorskip("whisper_normalizer", reason="needs the extra seed: make .venv/dev")
    pytest.importorskip("zhconv", reason="needs the extra seed: make .venv/dev")
    found = seed_normalise(vector["in"] for vector in VECTORS["surface"])
    expected = [vector["seed"] for vector in VECTORS["surface"]]
    assert [text.replace(" ", "") for text in found] == expected
    several = seed_normalise(["はい\n。\u2028うん", "", "\n"])
    assert [text.split() for text in several] == [["は", "い", "う", "ん"], [], []]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "zhconv", None)
    monkeypatch.delitem(sys.modules, "whisper_mix_normalize", raising=False)
    with pytest.raises(ConfigError, match=r"needs zhconv: pip install .*\.\[seed\]"):
        seed_normalise(["はい"])


def test_importing_it_imports_no_gpl_library() -> None:
    check = "import sys, galgame_asr.scoring.seed; sys.exit('zhconv' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
