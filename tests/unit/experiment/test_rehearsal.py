"""A rehearsal has the stages and sizes of the run that it stands for."""

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from galgame_asr.core.params import parse, read_yaml
from galgame_asr.experiment import profile, rehearsal
from galgame_asr.experiment.params import Params
from galgame_asr.messages.errors import ConfigError
from tests.conftest import REPOSITORY
from tests.servers import serving

PROFILES = REPOSITORY / "profiles"
# What lies over another.
RUNS = [
    ["galgame"], ["galgame", "mixed"], ["galgame", "whisper-galgame"], ["own"], ["whisper"],
    ["whisper-tiny"], ["galgame", "baselines"], ["baseline-demo"],
    ["names"], ["noise"], ["audit"],
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers where the hubs are said to be."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")


@pytest.fixture
def galgame(tmp_path: Path) -> dict[str, Any]:
    """The values of that profile."""
    file = tmp_path / "params.yaml"
    shutil.copy(REPOSITORY / "params.yaml", file)
    profile.apply(["galgame"], file, PROFILES)
    loaded: dict[str, Any] = read_yaml(file)
    return loaded


def test_every_profile_is_rehearsed_here() -> None:
    """The list is whole."""
    assert {run[-1] for run in RUNS} == {path.stem for path in PROFILES.glob("*.yaml")}


@pytest.mark.parametrize("names", RUNS, ids=" ".join)
def test_stages_sizes_and_precision_stay(tmp_path: Path, names: list[str]) -> None:
    """Corpora keep their names, phases what learns and where they start, exports their formats."""
    whole, small = tmp_path / "whole.yaml", tmp_path / "small.yaml"
    for file in (whole, small):
        shutil.copy(REPOSITORY / "params.yaml", file)
    profile.apply(names, whole, PROFILES)
    profile.apply(names, small, PROFILES, change=rehearsal.rehearse)
    full, few = (parse(Params, read_yaml(file), "") for file in (whole, small))
    assert list(few.corpora) == list(full.corpora)
    assert {corpus.kind for corpus in few.corpora.values()} == {"synthetic"}
    assert (few.model, few.compute, few.prompts, few.average) == (
        full.model, full.compute, full.prompts, full.average,
    )  # fmt: skip
    assert few.decode == full.decode
    assert few.baselines == {}  # none of this run's
    for name, phase in full.train.phases.items():
        other = few.train.phases[name]
        assert other.epochs == 1
        assert (other.freeze, other.lora, other.init, other.checkpoints, other.mix) == (
            phase.freeze, phase.lora, phase.init, phase.checkpoints, phase.mix,
        )  # fmt: skip
    for name, export in full.export.items():
        other_export = few.export[name]
        assert (other_export.format, other_export.precision) == (export.format, export.precision)
        assert other_export.verify.utterances <= 4
    if hub := full.base.existing.hub:
        random = few.base.existing.published_random
        assert random is not None
        assert (random.repo, random.source) == (hub.repo, hub.source)
    else:
        assert few.base.built.recipe is not None


def test_a_hub_that_answers_keeps_the_model(
    galgame: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published one is rehearsed then."""
    before = dict(galgame["base"]["existing"])
    with serving(hub=True) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        assert "as published" in rehearsal.rehearse(galgame)
    assert galgame["base"]["existing"] == before


def test_a_model_of_unknown_size_is_an_error(galgame: dict[str, Any]) -> None:
    """And the message says of which models a rehearsal knows it."""
    galgame["base"]["existing"]["hub"]["repo"] = "me/other"
    with pytest.raises(ConfigError, match=r"of me/other cannot be reached.*Fun-ASR-Nano-2512 and"):
        rehearsal.rehearse(galgame)


def test_checkpoints_by_step_become_the_end_of_their_phase(galgame: dict[str, Any]) -> None:
    """No rehearsed phase lasts so long, wherever they are named."""
    phases = galgame["train"]["phases"]
    phases["full"] |= {"every_steps": 1000, "init": "encoder/s2000"}
    phases["encoder"]["every_steps"] = 1000
    galgame["decode"]["checkpoints"] = ["base", "full/s1000", "full/s2000"]
    galgame["export"]["gguf"]["checkpoint"] = "full/s1000"
    rehearsal.rehearse(galgame)
    params = parse(Params, galgame, "")
    assert params.train.phases["full"].init == "encoder/p100"
    assert params.decode.checkpoints == ("base", "full/p100")
    assert params.export["gguf"].checkpoint == "full/p100"
