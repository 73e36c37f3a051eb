"""A phase of training: what moves, what is written, and that interruptions leave no mark."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile as sf
import torch
from ruamel.yaml import YAML

from galgame_asr.audio import tar
from galgame_asr.audio.reader import ShardReader
from galgame_asr.errors import ConfigError, DataError
from galgame_asr.families import fun_asr_nano
from galgame_asr.params import load, parse
from galgame_asr.params.train import CommonParams, PhaseParams
from galgame_asr.training import trainer as trainer_module
from galgame_asr.training.trainer import Phase, PhaseTrainer, train
from tests.conftest import REPOSITORY
from tests.models import TEXTS, build, noise

PARAMS = REPOSITORY / "params.yaml"
ALL = {"encoder": False, "adaptor": False, "llm": False}


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Ten utterances of 0.4 to 1.3 s in a shard below `root`."""
    root = tmp_path_factory.mktemp("data")
    files = []
    for number in range(10):
        buffer = io.BytesIO()
        sf.write(buffer, noise(0.4 + number / 10, number), 16_000, format="FLAC")
        files.append((f"u{number}.flac", buffer.getvalue()))
    tar.write(root / "vn.tar", files)
    members = list(tar.members(root / "vn.tar"))
    table = pd.DataFrame(
        {
            "id": [member.name.removesuffix(".flac") for member in members],
            "corpus": "vn",
            "shard": "vn.tar",
            "offset": [member.offset for member in members],
            "size": [member.size for member in members],
            "text": [TEXTS[number % 4] for number in range(10)],
            "duration_s": [0.4 + number / 10 for number in range(10)],
        }
    )
    table.attrs["root"] = root
    return table


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with dropout, so that restored random state matters."""
    directory = build(tmp_path_factory.mktemp("model") / "base")
    config = YAML(typ="safe").load(directory / "config.yaml")
    config["audio_encoder_conf"]["dropout_rate"] = 0.1
    YAML().dump(config, directory / "config.yaml")
    return directory


@pytest.fixture
def make_phase(rows: pd.DataFrame, init: Path, tmp_path: Path) -> Callable[..., Phase]:
    """A phase of 4 epochs x 3 steps, with a state every 4 steps."""
    common = dataclasses.replace(
        load(CommonParams, "train.common", file=PARAMS),
        batch_frames=350, log_steps=2, resume_steps=4,
    )  # fmt: skip

    def make(name: str = "run", **change: Any) -> Phase:
        values: dict[str, Any] = {
            "init": "base", "freeze": ALL, "lr": 1e-3, "epochs": 4,
            "mix": {"vn": 1.0}, "prompts": [{"language": "日文"}], "checkpoints": [50, 100],
            "ctc_weight": 0.3,
        }  # fmt: skip
        params = parse(PhaseParams, values | change, "phase")
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        return Phase(
            family=fun_asr_nano.load(init),
            common=common,
            params=params,
            train_rows=rows[:8],
            dev_rows=rows[8:],
            reader=ShardReader(rows.attrs["root"]),
            checkpoints=params.checkpoints,
            device=torch.device("cpu"),
            bf16=False,
            directory=directory,
            logs=tmp_path / "logs",
        )

    return make


def results(phase: Phase) -> dict[str, bytes]:
    """The files of a finished phase, by name."""
    names = ["p50/model.pt", "p100/model.pt", "log.tsv", "dev.tsv"]
    return {name: (phase.directory / name).read_bytes() for name in names}


def kill_before(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end just before a training step (from 1)."""
    original = PhaseTrainer.training_step

    def training_step(self: PhaseTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.state.global_step == step - 1:
            raise KilledError
        return original(self, *args, **kwargs)

    monkeypatch.setattr(PhaseTrainer, "training_step", training_step)


def test_interrupted_runs_end_in_the_same_bytes(
    make_phase: Callable[..., Phase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed any number of times, also twice in one epoch: weights and logs are the same.

    Steps 5 and 6 lie in one epoch after the state of step 4 (a second resume in one
    epoch replays data in FunASR's trainers); step 3 comes before any state; step 7 is
    the first after a named checkpoint.
    """
    whole = make_phase("whole")
    train(whole)
    expected = results(whole)
    broken = make_phase("broken")
    for step in (3, 5, 6, 7, 12):
        with monkeypatch.context() as patch:
            kill_before(step, patch)
            with pytest.raises(KilledError):
                train(make_phase("broken"))
    train(make_phase("broken"))
    assert results(broken) == expected
    # Once more with everything done: nothing is trained, nothing changes.
    with monkeypatch.context() as patch:
        patch.setattr(PhaseTrainer, "training_step", None)
        train(make_phase("broken"))
    assert results(broken) == expected


def test_a_half_written_state_is_not_resumed_from(
    make_phase: Callable[..., Phase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill while a state is saved costs that state alone, and the result is the same."""
    whole = make_phase("whole")
    train(whole)
    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "mark_complete", _raise_at_step_8)
        with pytest.raises(KilledError):
            train(make_phase("broken"))
    broken = make_phase("broken")
    (broken.directory / "checkpoint-8" / "model.pt").write_bytes(b"half")
    train(broken)
    assert results(broken) == results(whole)


def _raise_at_step_8(state: Path) -> None:
    if state.name == "checkpoint-8":
        raise KilledError
    (state / "complete").touch()


def test_two_runs_agree_and_seeds_differ(make_phase: Callable[..., Phase]) -> None:
    """Training is a function of its inputs and its seed."""
    first, second, other = make_phase("a"), make_phase("b"), make_phase("c")
    other = dataclasses.replace(other, common=dataclasses.replace(other.common, seed=1))
    for phase in (first, second, other):
        train(phase)
    assert results(first) == results(second)
    assert results(first)["p100/model.pt"] != results(other)["p100/model.pt"]


@pytest.mark.parametrize("learning", ["encoder", "adaptor", "llm"])
def test_exactly_the_parts_that_are_not_frozen_move(
    make_phase: Callable[..., Phase], init: Path, learning: str
) -> None:
    """Every tensor of a frozen part is bit-equal before and after; every other one moved."""
    phase = make_phase(freeze={part: part != learning for part in ALL}, ctc_weight=0.0)
    train(phase)
    before = torch.load(init / "model.pt")["state_dict"]
    after = torch.load(phase.directory / "p100/model.pt")["state_dict"]
    prefix = fun_asr_nano.PARTS[learning]
    parameters = {name for name, _ in phase.family.model.named_parameters()}
    for name, tensor in before.items():
        moves = name.startswith(prefix) and name in parameters | {"llm.lm_head.weight"}
        # A key's bias shifts all scores of a query alike, so softmax gives it no gradient;
        # rounding alone moves it.
        if not name.endswith("linear_k.bias"):
            assert torch.equal(tensor, after[name]) != moves, name


def test_the_log_has_a_row_per_interval(make_phase: Callable[..., Phase]) -> None:
    """Steps, epochs and shares add up; dev losses belong to the named checkpoints."""
    phase = make_phase()
    train(phase)
    log = pd.read_csv(phase.directory / "log.tsv", sep="\t")
    assert log["step"].tolist() == [2, 4, 6, 8, 10, 12]
    assert log["epoch"].tolist() == [1, 2, 2, 3, 4, 4]
    assert abs(log["audio_s"].sum() - 4 * phase.train_rows["duration_s"].sum()) < 0.01
    assert log["padded_share"].between(0, 0.5).all()
    assert log["loss"].iloc[-1] < log["loss"].iloc[0]
    assert pd.read_csv(phase.directory / "dev.tsv", sep="\t")["step"].tolist() == [6, 12]
    assert "audio_s_per_s" in (phase.logs / "speed.tsv").read_text()


def test_the_learning_rate_rises_and_falls(make_phase: Callable[..., Phase]) -> None:
    """The default: a short warm-up, then a cosine to nothing."""
    phase = make_phase(epochs=12)
    train(phase)
    rates = pd.read_csv(phase.directory / "log.tsv", sep="\t")["lr"]
    assert rates.iloc[0] < rates.iloc[1]
    assert 0.9e-3 < rates.max() <= 1e-3
    assert rates.iloc[1:].is_monotonic_decreasing
    assert rates.iloc[-1] < 1e-5


def test_a_loss_that_is_not_finite_stops_the_run(make_phase: Callable[..., Phase]) -> None:
    """Instead of a checkpoint full of NaN."""
    with pytest.raises(DataError, match=r"the loss is (nan|inf) around step"):
        train(make_phase(lr=1e30))


def test_a_broken_utterance_is_named(make_phase: Callable[..., Phase], rows: pd.DataFrame) -> None:
    """Not replaced by another one in silence."""
    bad = rows[:8].copy()
    bad.loc[3, "offset"] = 0
    with pytest.raises(DataError, match=r"utterance u3: .*no audio"):
        train(dataclasses.replace(make_phase(), train_rows=bad))


def test_nothing_to_train_on_is_an_error(make_phase: Callable[..., Phase]) -> None:
    """An empty dev set too: nobody would see a run go wrong."""
    phase = make_phase()
    with pytest.raises(DataError, match="selects 8 training and 0 dev utterances"):
        train(dataclasses.replace(phase, dev_rows=phase.dev_rows[:0]))
    with pytest.raises(ConfigError, match="did you mean 'encoder'"):
        train(make_phase(freeze={"encodr": False, "adaptor": False, "llm": False}))
