"""Whatever decodes has defaults, those of its family."""

from pathlib import Path

import pytest

from galgame_asr.families.common import defaults
from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.params import Prompt
from galgame_asr.messages.errors import CheckpointError
from galgame_asr.runtimes import load as runtimes


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("fun_asr_nano", "日文"), ("sherpa", "日文"), ("gguf", "日文"), ("funasr", "日文"),
        ("capswriter", "日文"), ("whisper", "ja"), ("ctranslate2", "ja"),
    ],
)  # fmt: skip
def test_a_directory_without_a_file_has_defaults(tmp_path: Path, name: str, language: str) -> None:
    """In the words of the family that an export is of."""
    assert runtimes.read_defaults(name, tmp_path).prompts == (Prompt(language=language),)


def test_pieces_fit_into_the_window(tmp_path: Path) -> None:
    """Longer ones are refused before a model is loaded; Fun-ASR-Nano has no window."""
    defaults.write(tmp_path, Defaults(prompts=(Prompt(),), max_segment_s=40.0))
    with pytest.raises(CheckpointError, match=r"max_segment_s is 40; the model hears 30 s"):
        runtimes.read_defaults("whisper", tmp_path)
    assert runtimes.read_defaults("fun_asr_nano", tmp_path).max_segment_s == 40
