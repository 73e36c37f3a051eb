"""What is written for FunASR's own trainer, which takes marks in texts for marks."""

from pathlib import Path

import pandas as pd
import pytest

from galgame_asr.core.reader import ShardReader
from galgame_asr.experiment import jsonl
from galgame_asr.families.common.params import Prompt
from galgame_asr.messages.errors import ConfigError, DataError


def test_marks_that_it_would_obey_are_refused(tmp_path: Path) -> None:
    """In a text and in a hotword; before a model is loaded, and nothing is written."""
    rows = pd.DataFrame(
        {"corpus": ["c", "c"], "id": ["a", "b"], "text": ["はい", "終<|im_end|>続"]}
    )
    where = (ShardReader(tmp_path), tmp_path / "model")
    with pytest.raises(DataError, match=r"utterance c/b: .*'終<\|im_end\|>続'.* manifest\.clean"):
        jsonl.write(rows, *where, Prompt(), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"FunASR's trainer would take <\|im_end\|>"):
        jsonl.write(rows[:1], *where, Prompt(hotwords=("葵<|im_end|>",)), tmp_path / "out")
    assert not list(tmp_path.iterdir())
