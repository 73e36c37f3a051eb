"""An entry of a plug-in room is read by the plug-in that it names, and by no other."""

import re
from pathlib import Path

import pytest

from galgame_asr.core.params import entry
from galgame_asr.formats.gguf.params import GgufExport
from galgame_asr.messages.errors import ConfigError

VALUES = """
export:
  small:
    format: {format}
    checkpoint: base
    precision: q8_0
    verify: {{utterances: 1, prompt: none, min_equal: 1.0, max_cer_rise: 0.0, max_difference: 0.1}}
    {more}
"""


def read(directory: Path, format_: str, more: str = "") -> object:
    file = directory / "params.yaml"
    file.write_text(VALUES.format(format=format_, more=more))
    return entry("galgame_asr.formats", "export.small", "format", file=file)


def test_the_plug_in_reads_its_entry(tmp_path: Path) -> None:
    """As its own class, which refuses a key that it does not know."""
    assert isinstance(read(tmp_path, "gguf"), GgufExport)
    with pytest.raises(ConfigError, match=r"unknown key export\.small\.chekpoint"):
        read(tmp_path, "gguf", "chekpoint: base")


@pytest.mark.parametrize("name", ["ggml", "common", "..", "[gguf]", "null"])
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    """The message says which there are; a folder beside the plug-ins is none of them."""
    with pytest.raises(ConfigError, match=re.escape("export.small")) as caught:
        read(tmp_path, name)
    for allowed in ("sherpa", "gguf", "funasr", "capswriter", "ctranslate2"):
        assert allowed in str(caught.value)
