"""What an audit of a corpus takes, before there is any of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from galgame_asr.core.params import parse, read_yaml
from galgame_asr.core.paths import SPEED
from galgame_asr.experiment import profile
from galgame_asr.experiment.params import Params
from galgame_asr.planning import audit
from tests.conftest import REPOSITORY

BOUNDS = {name: {"quantile": 0.95} for name in ("disagrees", "label_short", "label_long")}


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    file = Path(shutil.copy(REPOSITORY / "params.yaml", tmp_path))
    profile.apply(["galgame"], file, REPOSITORY / "profiles")
    monkeypatch.chdir(tmp_path)

    def told(sample: float, *checkpoints: str) -> list[str]:
        values = read_yaml(file)
        values["audit"] |= {
            "checkpoints": list(checkpoints),
            "prompt": next(iter(values["prompts"])),
            "corpora": {"galgame": {"sample": sample, "thresholds": BOUNDS}},
        }
        return list(audit.lines(parse(Params, values, ""), tmp_path / "train.parquet", 5.1))

    return told


def test_the_whole_galgame_corpus(lines: Any) -> None:
    """Its published hours by what an H100 was measured at; a second model takes as long again."""
    (one,) = lines(1.0, "full/p100")
    assert one.startswith("Audit of galgame: 3,384,864 utterances")
    assert "by 1 model(s), 131 hours" in one
    assert "hours at the speed of an H100, 0.85 GB" in one
    assert "by 2 model(s), 263 hours" in lines(1.0, "full/p100", "adaptor/p100")[0]


def test_samples_take_less(lines: Any) -> None:
    """A share, or so many."""
    assert "33,849 utterances by 1 model(s), 1.31 hours" in lines(0.01, "full/p100")[0]
    assert lines(10_000, "full/p100")[0].startswith("Audit of galgame: 10,000 utterances")


def test_data_and_decodes_here_count_first(lines: Any, tmp_path: Path) -> None:
    """The training set that lies here, at the speed of its own checkpoint."""
    rows = pd.DataFrame({"corpus": ["galgame"] * 720, "duration_s": 5.0})
    rows.to_parquet(tmp_path / "train.parquet")
    prompt = next(iter(read_yaml(tmp_path / "params.yaml")["prompts"]))
    file = SPEED / f"full/p100-{prompt}.json"
    file.parent.mkdir(parents=True)
    conditions = {
        "device": "a card", "cpu_threads": 1, "precision": "bf16", "batch_frames": 1, "torch": "2",
        "utterances": 10, "audio_s": 100.0, "size_mb": 1.0,
    }  # fmt: skip
    file.write_text(json.dumps({"conditions": conditions, "seconds": [1.0]}))
    assert lines(1.0, "full/p100") == [
        "Audit of galgame: 720 utterances by 1 model(s), 0.01 hours at the speed of the decodes "
        "here, 0.00018 GB."
    ]
