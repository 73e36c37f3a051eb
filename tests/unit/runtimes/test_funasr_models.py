"""Models of funasr say what its AutoModel says, called by hand."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import CheckpointError, ConfigError
from galgame_asr.runtimes import load as runtimes
from tests import funasrs
from tests.models import noise

AUDIOS = [noise(0.2 + number / 4, number) for number in range(6)]


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("funasr")
    return {name: funasrs.build(root / name, name) for name in funasrs.CONFIGS}


def say(directory: Path, prompt: Prompt, search: Search | None = None, **more: Any) -> list[str]:
    recogniser = runtimes.load("funasr_models", directory, options={"arguments": more})
    features = [recogniser.features(audio) for audio in AUDIOS]
    said: list[Transcript] = recogniser.transcribe(features, prompt, search or Search([99] * 6))
    return [one.text for one in said]


def by_hand(directory: Path, **arguments: Any) -> list[str]:
    auto_model: Any = importlib.import_module("funasr.auto.auto_model")
    model = auto_model.AutoModel(model=str(directory), device="cpu", disable_update=True)
    return [model.generate(input=[audio], **arguments)[0]["text"] for audio in AUDIOS]


def test_sense_voice(directories: dict[str, Path]) -> None:
    """Language and kind of text come from the prompt; marks of the rich text do not stay."""
    directory = directories["sense_voice"]
    prompts: dict[Prompt, dict[str, Any]] = {
        Prompt(): {"use_itn": True},
        Prompt(language="ja"): {"language": "ja", "use_itn": True},
        Prompt(language="ja", itn=False): {"language": "ja", "use_itn": False},
    }
    found = [say(directory, prompt) for prompt in prompts]
    rich = [by_hand(directory, **arguments) for arguments in prompts.values()]
    assert [[text.replace("<|ja|>", "").strip() for text in texts] for texts in rich] == found
    assert any("<|ja|>" in text for texts in rich for text in texts)
    assert found[0] != found[1] != found[2]
    # The prompt is beside what params say of `generate`.
    assert say(directory, Prompt(language="ja"), text_norm="woitn") == found[2]
    with pytest.raises(ConfigError, match="language 'Japanese' is none that SenseVoiceSmall knows"):
        say(directory, Prompt(language="Japanese"))
    with pytest.raises(ConfigError, match="hotwords: SenseVoiceSmall of funasr takes none"):
        say(directory, Prompt(hotwords=("葵",)))


def test_paraformer(directories: dict[str, Path]) -> None:
    """Which takes nothing beside the audio, and has no search to be told of."""
    directory = directories["paraformer"]
    said = say(directory, Prompt())
    assert said == by_hand(directory)
    assert len(set(said)) > 3
    with pytest.raises(ConfigError, match="language: Paraformer of funasr takes none"):
        say(directory, Prompt(language="ja"))
    with pytest.raises(ConfigError, match="search: Paraformer of funasr has none"):
        say(directory, Prompt(), Search([9] * 6, beams=2))


def test_a_damaged_directory_is_named(tmp_path: Path) -> None:
    """Tensors that are missing, files, and instructions to fetch more."""
    directory = funasrs.build(tmp_path / "model", "paraformer")
    config = YAML(typ="safe").load(directory / "config.yaml")
    YAML().dump(config | {"trust_remote_code": True}, directory / "config.yaml")
    with pytest.raises(CheckpointError, match="trust_remote_code is True"):
        say(directory, Prompt())
    YAML().dump(config, directory / "config.yaml")
    tensors = torch.load(directory / "model.pt", weights_only=True)
    torch.save(dict(list(tensors.items())[1:]), directory / "model.pt")
    with pytest.raises(CheckpointError, match="model is no whole model: funasr says: Warning, mis"):
        say(directory, Prompt())
    (directory / "model.pt").unlink()
    with pytest.raises(CheckpointError, match=r"model lacks model.pt, which configuration\.json"):
        say(directory, Prompt())
    torch.save(tensors, directory / "model.pt")
    (directory / "tokens.json").write_text(json.dumps(["<blank>"]))
    with pytest.raises(CheckpointError, match="model cannot be loaded by funasr"):
        say(directory, Prompt())
    (directory / "configuration.json").unlink()
    with pytest.raises(CheckpointError, match=r"lacks configuration\.json"):
        say(directory, Prompt())
