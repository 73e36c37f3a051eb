"""An entry of a plug-in room is read by the plug-in that it names, and by no other."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from galgame_asr.core.params import entry, load
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


@pytest.mark.parametrize("key", ["corpora", "train.phases", "average", "export", "prompts"])
@pytest.mark.parametrize(
    "name",
    ["my corpus", "v1.1", 'q"t', "a/b", "-x", "it's", "a\nb", "", "あ" * 34, 2024, None],
)
def test_names_that_stages_paths_and_commands_cannot_have(
    tmp_path: Path, key: str, name: object
) -> None:
    """Whatever is read first says so, in one line with what is allowed."""
    values: dict[Any, object] = {name: {}}
    for part in reversed(key.split(".")):
        values = {part: values}
    file = tmp_path / "params.yaml"
    yaml = YAML()
    yaml.allow_unicode = False
    yaml.dump(values | {"seed": 1}, file)
    with pytest.raises(ConfigError, match=rf"{key} has the name .*; allowed are letters"):
        load(int, "seed", file=file)


def test_names_of_any_script(tmp_path: Path) -> None:
    """Letters, digits, _ and -."""
    file = tmp_path / "params.yaml"
    names = ["声_2-a", "ゲーム", "2nd", "हिन्दी", "が", "佐々木", "2024", "あ" * 33]
    YAML().dump({"corpora": {name: place for place, name in enumerate(names)}}, file)
    for place, name in enumerate(names):
        assert load(int, f"corpora.{name}", file=file) == place


def test_names_of_checkpoints(tmp_path: Path) -> None:
    """They have parts, each of which is a name."""
    file = tmp_path / "params.yaml"
    good = ["base", "full/p100", "averaged", "export/sherpa-int8", "仕上げ/p100"]
    YAML().dump({"decode": {"checkpoints": good}}, file)
    assert load(list[str], "decode.checkpoints", file=file) == good
    for name in ("full/", "/full", "../full", "a b/p100", "full//p100"):
        YAML().dump({"decode": {"checkpoints": [*good, name]}}, file)
        with pytest.raises(ConfigError, match=r"decode\.checkpoints has the name"):
            load(list[str], "decode.checkpoints", file=file)


@pytest.mark.parametrize("folder", ["data", "models", "metrics", "data/raw", "metrics/quality"])
def test_a_linked_folder_is_refused_at_the_start(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC would refuse its outputs after hours of work."""
    monkeypatch.chdir(tmp_path)
    YAML().dump({"seed": 1}, Path("params.yaml"))
    Path("big").mkdir()
    Path(".scratch").symlink_to("big")  # no outputs
    assert load(int, "seed") == 1
    Path(folder).parent.mkdir(parents=True, exist_ok=True)
    Path(folder).symlink_to(tmp_path / "big")
    with pytest.raises(ConfigError, match=rf"{folder} is a link.*dvc cache dir --local"):
        load(int, "seed")
