"""The published model's architecture, counted without memory for its parameters."""

import shutil
from pathlib import Path

import pytest
import torch
from tests.conftest import REPOSITORY

from galgame_asr.base import fun_asr_nano_2512
from galgame_asr.base.existing import HubBase
from galgame_asr.base.fun_asr_nano_2512 import FILE_BYTES, NUM_TENSORS
from galgame_asr.core.params import parse, read_yaml
from galgame_asr.downloads import hub
from galgame_asr.downloads.lock import File, Lock
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.network import Model
from galgame_asr.families.fun_asr_nano.weights import read_config
from galgame_asr.training.freezing import freeze


def count(module: torch.nn.Module) -> float:
    """Parameters in millions, as the published figures are rounded."""
    return round(sum(p.numel() for p in module.parameters()) / 1e6, 3)


def test_the_published_model_has_its_published_size(tmp_path: Path) -> None:
    """868.858 M parameters, part by part, as funasr's class builds them from the files.

    ModelScope's file has all of their tensors, that of the Hugging Face hub those of three parts.
    """
    fun_asr_nano_2512.write_config(tmp_path)
    config = read_config(tmp_path)
    # Its vocabulary is no part of the architecture.
    config["ctc_tokenizer_conf"] = None
    with torch.device("meta"):
        model = Model(**config, input_size=560, vocab_size=-1)
    parts = [model.audio_encoder, model.audio_adaptor, model.llm, model.ctc_decoder, model.ctc]
    assert [count(part) for part in parts] == [221.137, 12.605, 596.05, 8.022, 31.044]
    assert count(model) == 868.858
    tensors = [len(part.state_dict()) for part in parts]
    assert tensors == [914, 36, 311, 84, 2]
    assert {"huggingface": sum(tensors[:3]), "modelscope": sum(tensors)} == NUM_TENSORS
    assert round(sum(count(part) for part in parts[:3]), 2) == 829.79
    assert model.use_low_frame_rate
    learning = freeze(model, fun_asr_nano.PARTS, {"encoder": True, "adaptor": False, "llm": True})
    assert learning == {"encoder": 0, "adaptor": 12_604_928, "llm": 0}


# model.pt as both hubs have it, and so as the locks in git must.
LOCKED = {
    "huggingface": File(
        1_971_149_431, "55ae0d2fee369f0f11cce0795f6927934ad17cf11b278a7e56a51272074160bb"
    ),
    "modelscope": File(
        2_127_426_538, "81fec8616083c69377f3ceef36aba3655660ee0ca69a5d4a1e9810cd340ca499"
    ),
}


class AskedError(Exception):
    """Stands for a question to a hub."""


def asked_of(base: HubBase, monkeypatch: pytest.MonkeyPatch) -> dict[str, File]:
    """What stage base would hold a download to, as it stands when the hub is asked."""
    locks: list[Lock] = []

    def remember(path: Path, source: str) -> Lock:
        locks.append(Lock(path, source))
        return locks[-1]

    def ask(*_: object) -> None:
        raise AskedError

    monkeypatch.setattr(hub, "Lock", remember)
    monkeypatch.setattr(hub, "_list", ask)
    with pytest.raises(AskedError):
        hub.download(base.repo, base.revision, kind="model", source=base.source)
    (lock,) = locks
    return lock.files


def test_downloads_of_both_hubs_are_held_to_the_locks_in_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every profile that starts from the published model, and of docs/storage.md."""
    assert {source: file.size for source, file in LOCKED.items()} == FILE_BYTES
    shutil.copytree(REPOSITORY / "sources", tmp_path / "sources")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    profiles = [read_yaml(file) for file in sorted((REPOSITORY / "profiles").glob("*.yaml"))]
    found = [profile.get("base", {}).get("existing", {}).get("hub", {}) for profile in profiles]
    named = [values for values in found if values.get("repo") == fun_asr_nano_2512.REPO]
    assert len(named) >= 3
    documented = {"source": "modelscope", "repo": fun_asr_nano_2512.REPO, "revision": "master"}
    for values in (*named, documented):
        base = parse(HubBase, values, "base.existing.hub")
        assert asked_of(base, monkeypatch) == {"model.pt": LOCKED[base.source]}
    other = parse(HubBase, named[0] | {"revision": "a" * 40}, "base.existing.hub")
    assert asked_of(other, monkeypatch) == {}, "a lock is of one revision"
