"""The plan of a Whisper's phases agrees with what they then take."""

from pathlib import Path
from typing import Any

import pytest

from galgame_asr.base import whisper_large_v3_turbo
from galgame_asr.core.params import load, parse
from galgame_asr.families.whisper import family as whisper
from galgame_asr.planning.plan import Planner, Speech
from galgame_asr.training.freezing import prepare
from galgame_asr.training.params import CommonParams, PhaseParams
from tests.conftest import REPOSITORY
from tests.models import build_whisper
from tests.phases import values
from tests.unit.planning.steps import both

COMMON = load(CommonParams, "train.common", file=REPOSITORY / "params.yaml")
PHASES: dict[str, dict[str, Any]] = {
    "decoder": {"freeze": {"encoder": True, "decoder": False}},
    "full": {"freeze": {"encoder": False, "decoder": False}},
    "lora": {
        "freeze": {"encoder": True, "decoder": True},
        "lora": {"rank": 4, "alpha": 8, "targets": ["q_proj", "fc1"]},
    },
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_whisper(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="module")
def planner(directory: Path) -> Planner:
    return Planner("whisper", directory, Speech(2.0, 12), "float32")


def phase(change: dict[str, Any]) -> PhaseParams:
    return parse(PhaseParams, values("whisper") | change, "phase")


def test_parameters_are_counted_exactly(planner: Planner, directory: Path, tmp_path: Path) -> None:
    """Those of a model that is here; and the published one's, without its weights."""
    model = whisper.load(directory).model
    assert planner.parameters == sum(p.numel() for p in model.parameters())
    whisper_large_v3_turbo.write_config(tmp_path)
    published = Planner("whisper", tmp_path, Speech(5.0, 20), "bf16")
    assert round(published.parameters / 1e6) == 809
    assert published.checkpoint_bytes({"encoder"}) == 4 * published.parameters


def test_all_of_the_window_is_heard(planner: Planner) -> None:
    """However short an utterance: 3000 frames each in a micro-batch, 200 of them in a step."""
    assert [planner.utterances(frames) for frames in (2000, 3000, 32_000)] == [1, 1, 11]
    assert planner.step_frames(2000, 1) == 30_000
    assert planner.step_frames(2000, 2) == 15_000


@pytest.mark.parametrize("name", PHASES)
def test_fake_steps_need_what_real_ones_do(planner: Planner, directory: Path, name: str) -> None:
    """What learns is the trainer's; memory is that of the same steps on real tensors."""
    params = phase(PHASES[name])
    family = whisper.load(directory)
    prepare(family, params, COMMON)
    learning = sum(p.numel() for p in family.model.parameters() if p.requires_grad)
    assert planner.learning(params, COMMON) == learning
    predicted, real = both(planner, params, COMMON, 3)
    assert predicted.weights == real.weights
    assert predicted.peak == pytest.approx(real.peak, rel=0.05)
    assert predicted.optimizer == pytest.approx(real.marks[2] - real.weights - real.batch, rel=0.01)
