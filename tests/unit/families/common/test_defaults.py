"""A model directory says how the model is used: what it was trained with comes first."""

import json
import logging
from pathlib import Path

import pytest

from galgame_asr.families.common import defaults
from galgame_asr.families.common.defaults import FILE, Defaults
from galgame_asr.families.common.params import Prompt
from galgame_asr.messages.errors import CheckpointError

OWN = Defaults(prompts=(Prompt(language="日文", hotwords=("葵",)), Prompt(itn=False)), beams=3)
OTHERWISE = Defaults(prompts=(Prompt(language="ja"),))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Every value, and the same bytes each time."""
    defaults.write(tmp_path, OWN)
    first = (tmp_path / FILE).read_bytes()
    assert defaults.read(tmp_path, OTHERWISE) == OWN
    defaults.write(tmp_path, OWN)
    assert (tmp_path / FILE).read_bytes() == first


def test_a_directory_without_the_file_is_of_its_family(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says so; a model made of it has none either."""
    (tmp_path / "copy").mkdir()
    defaults.copy(tmp_path, tmp_path / "copy")
    with caplog.at_level(logging.INFO, logger="galgame_asr"):
        assert defaults.read(tmp_path / "copy", OTHERWISE) == OTHERWISE
    assert len(caplog.records) == 1
    assert f"copy has no {FILE}: the defaults of its family" in caplog.text
    defaults.write(tmp_path, OWN)
    (tmp_path / FILE).chmod(0o444)  # as DVC keeps it
    defaults.copy(tmp_path, tmp_path / "copy")
    assert defaults.read(tmp_path / "copy", OTHERWISE) == OWN
    assert (tmp_path / "copy" / FILE).stat().st_mode & 0o200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"prompts": [{"langage": "ja"}]}', r"unknown key prompts\.0\.langage.*'language'"),
        (b'{"prompts": []}', r"prompts is \[\]"),
        (b'{"beams": 1}', "key prompts is missing"),
        (b'{"prompts": [{}], "beams": "2"}', "beams is '2'"),
        (b"[]", r"\[\]"),
        (b"{", "is no JSON"),
        (b'{"prompts": [{"language": "\xff"}]}', "is no JSON"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: bytes, message: str) -> None:
    """With what was found in it."""
    (tmp_path / FILE).write_bytes(text)
    with pytest.raises(CheckpointError, match=f"{FILE}.*{message}"):
        defaults.read(tmp_path, OTHERWISE)


def test_values_that_are_left_out_are_the_same_for_all(tmp_path: Path) -> None:
    """Who writes a file by hand for a model from elsewhere names its prompts alone."""
    (tmp_path / FILE).write_text(json.dumps({"prompts": [{"language": "zh"}]}))
    found = defaults.read(tmp_path, OTHERWISE)
    assert found == Defaults(prompts=(Prompt(language="zh"),))
