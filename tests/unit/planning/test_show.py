"""What `galgame-asr plan` prints of phases that it measures."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from galgame_asr.cli import dispatch
from galgame_asr.core.params import parse, read_yaml
from galgame_asr.messages.errors import ConfigError
from galgame_asr.planning import show
from galgame_asr.planning.memory import Measured
from galgame_asr.planning.plan import Planner, Speech
from galgame_asr.training.params import CommonParams
from tests.conftest import REPOSITORY
from tests.models import build
from tests.phases import values

PARAMS = REPOSITORY / "params.yaml"
STEP_S = 0.5


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """One phase of a small model, in steps of 40 s; `write` it before the plan."""
    params: dict[str, Any] = YAML(typ="safe").load(PARAMS)
    model = build(tmp_path / "model")
    params["base"] = {"existing": {"directory": {"path": str(model)}}, "built": {}}
    params["train"]["phases"] = {"phase": values(ctc_weight=0.0)}
    params["train"]["common"]["batch_frames"] = 4000
    params["decode"]["checkpoints"] = ["base"]
    params["average"], params["export"] = {}, {}
    monkeypatch.chdir(tmp_path)
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield params
    torch.use_deterministic_algorithms(deterministic)


def plan(params: dict[str, Any], *options: str) -> None:
    YAML().dump(params, Path("params.yaml"))
    dispatch(["plan", "--utterance-s", "5", *options])


def has_room_for(most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let steps with more than so many utterances fail as on a GPU; those that were tried."""
    tried = []

    def measured(
        _planner: Planner, _phase: object, _common: object, utterances: int, _: str
    ) -> Measured:
        tried.append(utterances)
        if utterances > most:
            raise torch.OutOfMemoryError
        return Measured(2**30, STEP_S)

    monkeypatch.setattr(Planner, "measured", measured)
    return tried


def predicted(output: str) -> tuple[str, str]:
    """The peak beside the measured one, and that of the table, in GiB."""
    beside = re.search(r"^phase on cpu: predicted (\S+) GiB, measured 1 GiB", output, re.MULTILINE)
    row = re.search(r"^phase +\S+ M +\S+ +\S+ +(\S+)  ", output, re.MULTILINE)
    assert beside
    assert row
    return beside[1], row[1]


def test_steps_are_halved_until_a_gpu_has_room(
    params: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As training does; memory and speed are those of what fits."""
    tried = has_room_for(3, monkeypatch)
    plan(params, "--measure")
    output = capsys.readouterr().out
    assert tried == [8, 4, 2]
    for frames, half in ((4000, 2000), (2000, 1000)):
        said = f"phase phase: {frames} frames at once have no room on this GPU: halved to {half}"
        assert said in output
    # A step is four of those that were measured.
    assert re.search(rf"^phase +4 .* {40 / (4 * STEP_S):.0f} +", output, re.MULTILINE)
    of_fitting = predicted(output)
    has_room_for(8, monkeypatch)
    plan(params, "--measure", "--micro-batch-frames", "1000")
    assert predicted(capsys.readouterr().out) == of_fitting
    plan(params, "--measure")
    assert predicted(capsys.readouterr().out) != of_fitting


@pytest.mark.parametrize("where", ["params", "option"])
def test_a_number_of_frames_is_not_halved(
    params: dict[str, Any], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Who asks for one is told that it has no room."""
    tried = has_room_for(3, monkeypatch)
    options = ["--micro-batch-frames", "2000"] if where == "option" else []
    if where == "params":
        params["machine"]["micro_batch_frames"] = 2000
    with pytest.raises(ConfigError, match=r"2000 frames .* --micro-batch-frames takes fewer"):
        plan(params, "--measure", *options)
    assert tried == [4]


def test_nothing_is_smaller_than_an_utterance(
    params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error then says what would help."""
    tried = has_room_for(0, monkeypatch)
    with pytest.raises(ConfigError, match=r"phase phase: 500 frames .* one utterance; freeze more"):
        plan(params, "--measure")
    assert tried == [8, 4, 2, 1]


@pytest.mark.parametrize(
    ("own", "options", "precision"),
    [("fp16", ["--measure"], "fp16"), ("fp16", [], "bf16"),
     ("fp16", ["--measure", "--precision", "float32"], "float32")],
)  # fmt: skip
def test_steps_are_measured_in_the_precision_of_the_run(
    params: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    own: str, options: list[str], precision: str,
) -> None:  # fmt: skip
    """Which params say; bf16 is what cards are planned for, and an option has the last word."""
    has_room_for(8, monkeypatch)
    params["compute"]["precision"] = own
    plan(params, *options)
    output = capsys.readouterr().out
    assert f"tokens of text, in {precision}." in output
    assert ("in float32\n" in output) == (precision == "float32")


def test_each_part_has_its_learning_rate(
    params: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the hours; one for all is said once, and what is frozen has none."""
    phase = params["train"]["phases"]["phase"]
    phase |= {"lr": 2e-4, "freeze": {"encoder": False, "adaptor": True, "llm": False}}
    row = r"^phase +4 .* \?  {}$"
    plan(params)
    assert re.search(row.format("2e-4"), capsys.readouterr().out, re.MULTILINE)
    phase["lr"] = {"llm": 2.5e-5, "encoder": 1e-5, "adaptor": 1e-3}
    plan(params)
    said = row.format("encoder 1e-5, llm 2.5e-5")
    assert re.search(said, capsys.readouterr().out, re.MULTILINE)
    del phase["lr"]["llm"]
    with pytest.raises(ConfigError, match="phase phase: lr has no rate for llm, which learns"):
        plan(params)


@pytest.mark.parametrize(
    ("cards", "card_frames", "audio_s_per_s"), [(1, 16_000, 80), (4, 4000, 320), (3, 5334, 160)]
)
def test_several_cards_share_a_step(cards: int, card_frames: int, audio_s_per_s: float) -> None:
    """Each does its own micro-batches in its own time; what is no whole one takes as long."""
    common = parse(
        CommonParams, read_yaml(PARAMS)["train"]["common"] | {"batch_frames": 16_000}, ""
    )
    machine = show.Machine(cards, card_frames, 4000)
    nobody: Any = None  # asks them where a step was measured
    found = show._speed(nobody, nobody, common, machine, Measured(2**30, STEP_S))
    assert found == audio_s_per_s


def test_what_several_cards_lose_is_not_planned(
    params: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the plan says where there are several."""
    has_room_for(8, monkeypatch)
    for cards, count in (("1", 0), ("4", 1)):
        plan(params, "--measure", "--processes", cards)
        output = capsys.readouterr().out
        heading = next(line for line in output.splitlines() if line.startswith("How long, "))
        assert f"at the speed of {cards} x " in heading
        assert heading.count("measured now; each taken to be as quick as one alone)?") == count


class WithoutRoom(Planner):
    """No step fits."""

    def _step(self, *_: object) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")


def test_out_of_memory_is_told_from_other_errors_across_processes(
    params: dict[str, Any], tmp_path: Path
) -> None:
    """Steps are measured in a process of their own, whose memory ends with it."""
    planner = WithoutRoom("fun_asr_nano", tmp_path / "model", Speech(5, 20), "float32")
    phase: Any = params["train"]
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        planner.measured(phase, phase, 1, "cpu")
