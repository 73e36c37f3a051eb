"""A phase of training: what moves, what is written, and that interruptions leave no mark."""

import dataclasses
import io
import resource
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from torch import nn

from galgame_asr.core.params import load, parse
from galgame_asr.core.reader import ShardReader
from galgame_asr.families.common import defaults, hotwords
from galgame_asr.families.common import family as families
from galgame_asr.families.common.compute import Precision
from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.params import MachineParams, Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.network import CTC_BRANCH
from galgame_asr.families.whisper import network as whisper_model
from galgame_asr.messages.errors import CheckpointError, ConfigError, DataError
from galgame_asr.runtimes import load as runtimes
from galgame_asr.training import dev_cer, freezing, states
from galgame_asr.training.batches import Pick
from galgame_asr.training.dataset import MicroBatch, Share
from galgame_asr.training.history import History
from galgame_asr.training.params import CommonParams, PhaseParams
from galgame_asr.training.saving import Saving
from galgame_asr.training.trainer import Phase, Trainer, train
from tests.conftest import REPOSITORY
from tests.models import WHISPER_JAPANESE, build, examples
from tests.phases import (
    ALL,
    CASES,
    LORA,
    PHASES,
    WHISPER_ALL,
    values,
    write_model,
    write_whisper,
)

PARAMS = REPOSITORY / "params.yaml"


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="module")
def whisper_init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper") / "base")


@pytest.fixture
def make_phase(
    rows: pd.DataFrame, init: Path, whisper_init: Path, tmp_path: Path
) -> Callable[..., Phase]:
    """A phase of 4 epochs x 3 steps, with a state at every step."""
    common = load(CommonParams, "train.common", file=PARAMS)
    common = dataclasses.replace(common, log_steps=2, batch_frames=200)
    machine = dataclasses.replace(load(MachineParams, "machine", file=PARAMS), save_minutes=0)
    inits = {"fun_asr_nano": init, "whisper": whisper_init}

    def make(
        name: str = "run",
        family: str = "fun_asr_nano",
        init: Path | None = None,
        **change: Any,
    ) -> Phase:
        params = parse(PhaseParams, values(family, **change), "phase")
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        return Phase(
            family=families.load(family, init or inits[family]),
            common=common,
            machine=machine,
            params=params,
            train_rows=rows[:8],
            dev_rows=rows[8:],
            reader=ShardReader(rows.attrs["root"]),
            checkpoints=params.checkpoints,
            device=torch.device("cpu"),
            precision="float32",
            directory=directory,
            logs=tmp_path / "logs",
        )

    return make


def results(phase: Phase) -> dict[str, bytes]:
    """The files of a finished phase, by name."""
    names = ["p50/*", "p100/*", "log.tsv", "dev.tsv", "left_out.tsv"]
    files = [file for name in names for file in phase.directory.glob(name) if file.is_file()]
    assert len(files) >= 7
    return {str(f.relative_to(phase.directory)): f.read_bytes() for f in files}


def kill_before(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end just before a training step (from 1)."""
    original = Trainer._step

    def take(self: Trainer, *args: Any) -> None:
        if self.history.step == step - 1:
            raise KilledError
        original(self, *args)

    monkeypatch.setattr(Trainer, "_step", take)


@pytest.mark.parametrize(("family", "change"), CASES.values(), ids=CASES)
def test_a_second_resume_in_one_epoch_ends_in_the_same_bytes(
    make_phase: Callable[..., Phase],
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    change: dict[str, Any],
) -> None:
    """Killed any number of times, in each phase, with adapters too: the same files.

    Steps 5 and 6 lie in one epoch after the state of step 4 (a second resume in one
    epoch replays data in FunASR's trainers); step 3 comes before any state; step 7 is
    the first after a named checkpoint.
    """
    same_bytes_after_kills(partial(make_phase, family=family, **change), monkeypatch)


def same_bytes_after_kills(
    make_phase: Callable[[str], Phase], monkeypatch: pytest.MonkeyPatch
) -> Phase:
    """Train a phase whole, and another with kills, to the same files; the whole one."""

    def make(name: str) -> Phase:
        """Of texts with no more tokens than frames: from others the CTC branch learns nothing."""
        phase = make_phase(name)
        short = phase.train_rows["text"].str[:2]
        return dataclasses.replace(phase, train_rows=phase.train_rows.assign(text=short))

    whole = make("whole")
    train(whole)
    expected = results(whole)
    broken = make("broken")
    for step in (3, 5, 6, 7, 12):
        with monkeypatch.context() as patch:
            kill_before(step, patch)
            with pytest.raises(KilledError):
                train(make("broken"))
    train(make("broken"))
    assert results(broken) == expected
    # Once more with everything done: nothing is trained, nothing changes.
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", None)
        train(make("broken"))
    assert results(broken) == expected
    return whole


def test_a_new_branch_for_timestamps_is_resumed_and_kept(
    make_phase: Callable[..., Phase], init: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base that has none, as on the Hugging Face hub: the checkpoints have one that learned."""
    base = shutil.copytree(init, tmp_path / "base")
    saved = torch.load(init / "model.pt", weights_only=True)["state_dict"]
    kept = {name: t for name, t in saved.items() if not name.startswith(CTC_BRANCH)}
    torch.save({"state_dict": kept}, base / "model.pt")
    make = partial(make_phase, init=base, ctc="new")
    trained = same_bytes_after_kills(make, monkeypatch)
    drawn = make("drawn")
    freezing.prepare(drawn.family, drawn.params, drawn.common)
    before = drawn.family.model.state_dict()
    for percent in (50, 100):
        after = torch.load(trained.directory / f"p{percent}/model.pt", weights_only=True)
        branch = {n: t for n, t in after["state_dict"].items() if n.startswith(CTC_BRANCH)}
        assert branch.keys() == saved.keys() - kept.keys()
        # Of a key's bias rounding alone decides.
        still = [n for n, t in branch.items() if torch.equal(t, before[n])]
        assert [name for name in still if not name.endswith("linear_k.bias")] == []


def test_a_truncated_save_costs_that_state_alone(
    make_phase: Callable[..., Phase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill while a state is saved costs that state alone, and the result is the same."""
    whole = make_phase("whole")
    train(whole)
    with monkeypatch.context() as patch:
        patch.setattr(states, "_sync", _raise_at_step_8)
        with pytest.raises(KilledError):
            train(make_phase("broken"))
    broken = make_phase("broken")
    assert [path.name for path in broken.directory.glob("*state*")] == ["state-7"]
    half = broken.directory / ".state-8.1.tmp"  # what a kill -9 leaves
    half.mkdir()
    (half / "learned.pt").write_bytes(b"half")
    train(broken)
    assert results(broken) == results(whole)
    assert not half.exists()


def _raise_at_step_8(path: Path) -> None:
    history = path.parent / "history.json"
    if history.is_file() and History.read(history).step == 8:
        raise KilledError


@pytest.mark.parametrize(
    ("family", "change"), [case for name, case in CASES.items() if name != "whisper-DoRA"]
)
def test_a_full_disk_costs_a_message_and_no_work(
    make_phase: Callable[..., Phase], family: str, change: dict[str, Any]
) -> None:
    """The system refuses to write more; with room again, the result is that of a whole run."""
    make = partial(make_phase, family=family, **change)
    train(whole := make("whole"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (2_000, 150_000):  # a state, or the first checkpoint, does not fit
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            with pytest.raises(DataError, match=r"cannot be written .* the next run goes on"):
                train(make("broken"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    train(broken := make("broken"))
    assert results(broken) == results(whole)


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
    before = torch.load(init / "model.pt", weights_only=True)["state_dict"]
    after = torch.load(phase.directory / "p100/model.pt", weights_only=True)["state_dict"]
    prefix = fun_asr_nano.PARTS[learning]
    parameters = {name for name, _ in phase.family.model.named_parameters()}
    for name, tensor in before.items():
        moves = name.startswith(prefix) and name in parameters | {"llm.lm_head.weight"}
        # A key's bias shifts all scores of a query alike, so softmax gives it no gradient;
        # rounding alone moves it.
        if not name.endswith("linear_k.bias"):
            assert torch.equal(tensor, after[name]) != moves, name


def test_whispers_sinusoids_never_move(
    make_phase: Callable[..., Phase], whisper_init: Path
) -> None:
    """In a phase in which all else does (transformers trains them in a model it has loaded)."""
    phase = make_phase(family="whisper")
    train(phase)
    before, after = (
        whisper_model._read(d / "model.safetensors")
        for d in (whisper_init, phase.directory / "p100")
    )
    assert before.keys() == after.keys()
    unmoved = {name for name, tensor in before.items() if torch.equal(tensor, after[name])}
    assert unmoved == {whisper_model.SINUSOIDS}


@pytest.mark.parametrize("learning", WHISPER_ALL)
def test_exactly_one_part_of_a_whisper_moves(
    make_phase: Callable[..., Phase], whisper_init: Path, learning: str
) -> None:
    """And the cache of a frozen encoder changes no byte of it."""
    freeze = {part: part != learning for part in WHISPER_ALL}
    phase = make_phase(family="whisper", freeze=freeze)
    cached = make_phase("cached", family="whisper", freeze=freeze)
    machine = dataclasses.replace(cached.machine, encoder_cache_mb=10)
    for each in (phase, dataclasses.replace(cached, machine=machine)):
        train(each)
    assert results(phase) == results(cached)
    before, after = (
        whisper_model._read(d / "model.safetensors")
        for d in (whisper_init, phase.directory / "p100")
    )
    for name, tensor in before.items():
        moves = name.startswith(f"model.{learning}.") and name != whisper_model.SINUSOIDS
        assert torch.equal(tensor, after[name]) != moves, name


def test_speech_beyond_the_window_is_refused(
    make_phase: Callable[..., Phase], rows: pd.DataFrame
) -> None:
    """Before anything is trained on half of it; slowed down, 28 s are too long as well."""
    long = rows.copy()
    long.loc[2, "duration_s"] = 28.0
    augment = {"speeds": [0.9, 1.0]}
    phase = make_phase(family="whisper", augment=augment)
    with pytest.raises(DataError, match=r"1 utterances .* 30 s .* at speed 0.9: u2; .* most 27"):
        train(dataclasses.replace(phase, train_rows=long[:8]))


def test_the_log_has_a_row_per_interval(make_phase: Callable[..., Phase]) -> None:
    """Steps, epochs and shares add up; dev losses belong to the named checkpoints."""
    phase = make_phase()
    train(phase)
    log = pd.read_csv(phase.directory / "log.tsv", sep="\t")
    assert log["step"].tolist() == [2, 4, 6, 8, 10, 12]
    assert log["epoch"].tolist() == [1, 2, 2, 3, 4, 4]
    assert abs(log["audio_s"].sum() - 4 * phase.train_rows["duration_s"].sum()) < 0.01
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


def test_bad_audio_is_not_silently_replaced(
    make_phase: Callable[..., Phase], rows: pd.DataFrame
) -> None:
    """It is named, in training and in the dev set (FunASR takes a random other one)."""
    bad = rows.copy()
    bad.loc[[3, 9], "offset"] = 0
    with pytest.raises(DataError, match=r"utterance u3: .*no audio"):
        train(dataclasses.replace(make_phase("a"), train_rows=bad[:8]))
    with pytest.raises(DataError, match=r"utterance u9: .*no audio"):
        train(dataclasses.replace(make_phase("b"), dev_rows=bad[8:]))


def test_no_lost_llm_weights(make_phase: Callable[..., Phase], init: Path) -> None:
    """A language model that learned is in every checkpoint, whole (FunASR's config drops it)."""
    phase = make_phase()
    train(phase)
    before = torch.load(init / "model.pt", weights_only=True)["state_dict"]
    for percent in (50, 100):
        after = torch.load(phase.directory / f"p{percent}/model.pt", weights_only=True)[
            "state_dict"
        ]
        llm = {name for name in before if name.startswith("llm.")}
        assert llm == {name for name in after if name.startswith("llm.")}
        assert any(not torch.equal(before[name], after[name]) for name in llm)
        fun_asr_nano.load(phase.directory / f"p{percent}")


@pytest.mark.parametrize("family", ["fun_asr_nano", "whisper"])
def test_a_checkpoint_says_what_it_was_trained_with(
    make_phase: Callable[..., Phase], init: Path, whisper_init: Path, tmp_path: Path, family: str
) -> None:
    """The prompts of its own phase, not of the one before, and the family's search.

    A glossary, which is for utterances whose text is known, is none of them.
    """
    before = shutil.copytree(
        {"fun_asr_nano": init, "whisper": whisper_init}[family], tmp_path / "b"
    )
    defaults.write(before, Defaults(prompts=(Prompt(hotwords=("葵",)),), beams=7))
    first = Prompt(language="ja", hotwords=("凛",))
    told = {"language": "ja", "hotwords": ["凛"], "glossary": {"names": ["葵"]}}
    prompts = [told, {"language": "en"}]
    phase = make_phase(family=family, prompts=prompts, epochs=1)
    phase = dataclasses.replace(phase, family=families.load(family, before))
    train(phase)
    for percent in (50, 100):
        found = runtimes.read_defaults(family, phase.directory / f"p{percent}")
        own = dataclasses.replace(phase.family.defaults, prompts=(first, *phase.params.prompts[1:]))
        assert found == own


def test_a_wrong_init_path_gives_no_random_weights(init: Path, tmp_path: Path) -> None:
    """A path without a model, or without its tensors, is an error (FunASR prints a line)."""
    with pytest.raises(CheckpointError, match=r"nowhere is no FunASR model directory"):
        fun_asr_nano.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"model.pt.best is missing"):
        fun_asr_nano.load(init, init / "model.pt.best")
    other = build(tmp_path / "other")
    torch.save({"state_dict": {"w": torch.zeros(1)}}, other / "model.pt")
    with pytest.raises(CheckpointError, match=r"does not fit the model .* missing"):
        fun_asr_nano.load(other)


def test_nothing_to_train_on_is_an_error(make_phase: Callable[..., Phase]) -> None:
    """An empty dev set too: nobody would see a run go wrong."""
    phase = make_phase()
    with pytest.raises(DataError, match="selects 8 training and 0 dev utterances"):
        train(dataclasses.replace(phase, dev_rows=phase.dev_rows[:0]))
    with pytest.raises(ConfigError, match="did you mean 'encoder'"):
        train(make_phase(freeze={"encodr": False, "adaptor": False, "llm": False}))


@pytest.mark.parametrize("phase", PHASES)
def test_adapters_are_folded_into_every_checkpoint(
    make_phase: Callable[..., Phase], init: Path, phase: str
) -> None:
    """A checkpoint has the base's tensors, of the frozen part those moved that have adapters.

    Loaded anew it gives the loss that the model with its adapters gives.
    """
    frozen = PHASES[phase] | {"llm": True}
    trained = make_phase(freeze=frozen, lora=LORA, ctc_weight=0.0)
    train(trained)
    before = torch.load(init / "model.pt", weights_only=True)["state_dict"]
    after = torch.load(trained.directory / "p100/model.pt", weights_only=True)["state_dict"]
    assert before.keys() == after.keys()
    moved = {n for n, t in before.items() if n.startswith("llm.") and not torch.equal(t, after[n])}
    assert moved == {
        f"llm.model.layers.{n}.self_attn.{p}_proj.weight" for n in (0, 1) for p in "qv"
    }
    family = trained.family
    assert isinstance(family, fun_asr_nano.FunAsrNano)
    family.model.eval()
    merged = fun_asr_nano.load(trained.directory / "p100")
    batch = family.training_batch(examples(family, [0.5, 1.0]))
    first, second = (f.model(**batch)["loss"] for f in (family, merged))
    torch.testing.assert_close(first, second, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dora", [False, True])
def test_adapters_of_a_whisper_are_folded_in(
    make_phase: Callable[..., Phase], whisper_init: Path, dora: bool
) -> None:
    """Of both its frozen parts: a plain model that gives the loss of the one with adapters."""
    freeze = {"encoder": True, "decoder": True}
    targets = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
    lora = LORA | {"targets": targets, "dora": dora}
    phase = make_phase(family="whisper", freeze=freeze, lora=lora)
    train(phase)
    before, after = (
        whisper_model._read(d / "model.safetensors")
        for d in (whisper_init, phase.directory / "p100")
    )
    assert before.keys() == after.keys()
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert moved == {
        name for name in before if name.removesuffix(".weight").rpartition(".")[2] in targets
        and name.endswith(".weight")
    }  # fmt: skip
    batch = phase.family.training_batch(examples(phase.family, [0.5, 1.0], WHISPER_JAPANESE))
    phase.family.model.train(False)
    merged = runtimes.load("whisper", phase.directory / "p100")
    first, second = (f.model(**batch)["loss"] for f in (phase.family, merged))
    torch.testing.assert_close(first, second, rtol=1e-5, atol=0)


def test_adapters_of_one_part_alone(make_phase: Callable[..., Phase]) -> None:
    """`lora.parts` chooses; a name that is no part, or learns anyway, is an error."""
    frozen = {"encoder": True, "decoder": True}
    one = make_phase(family="whisper", freeze=frozen, lora=LORA | {"parts": ["decoder"]})
    freezing.prepare(one.family, one.params, one.common)
    learning = {n for n, p in one.family.model.named_parameters() if p.requires_grad}
    assert learning
    assert all(name.startswith("model.decoder.") and ".lora_" in name for name in learning)
    for parts, message in ((["decodr"], "names decodr; parts: encoder, dec"), (None, "set freeze")):
        bad = make_phase(
            family="whisper", freeze=WHISPER_ALL if parts is None else frozen,
            lora=LORA | {"parts": parts},
        )  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            train(bad)


def test_adapters_want_a_frozen_part_and_known_layers(make_phase: Callable[..., Phase]) -> None:
    """Else nobody could tell what learns."""
    with pytest.raises(ConfigError, match=r"set freeze.llm to true, or lora to null"):
        train(make_phase(lora=LORA))
    misspelt = make_phase(freeze=PHASES["adaptor"], lora=LORA | {"targets": ["q_prj"]})
    with pytest.raises(ConfigError, match=r"names q_prj; linear layers: .*q_proj"):
        train(misspelt)


def test_checkpoints_by_step_and_percent(
    make_phase: Callable[..., Phase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both, with scores of the dev set, and the same bytes after a kill; several of one step."""
    phases = [
        dataclasses.replace(make_phase(name), every_steps=5, checkpoints=(45, 50, 100))
        for name in ("straight", "killed")
    ]
    train(phases[0])
    with monkeypatch.context() as patched:
        kill_before(8, patched)
        with pytest.raises(KilledError):
            train(phases[1])
    again = dataclasses.replace(phases[1], family=make_phase("again").family)
    train(again)
    found = []
    for phase in phases:
        assert sorted(path.name for path in phase.directory.glob("[ps][0-9]*")) == [
            "p100", "p45", "p50", "s10", "s5",
        ]  # fmt: skip
        # 45 % of 12 steps is step 5.
        assert pd.read_csv(phase.directory / "dev.tsv", sep="\t")["step"].tolist() == [5, 6, 10, 12]
        found.append([path.read_bytes() for path in sorted(phase.directory.glob("s*/model.pt"))])
        assert found[-1][1] == (phase.directory / "p45/model.pt").read_bytes()
    assert found[0] == found[1]
    # Percents of one step each have their checkpoint.
    near = dataclasses.replace(make_phase("near"), checkpoints=(98, 99, 100))
    train(near)
    assert sorted(path.name for path in near.directory.glob("p*")) == ["p100", "p98", "p99"]


def test_early_stopping_ends_with_the_best_weights(
    make_phase: Callable[..., Phase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """p100 and what was not reached are the model with the lowest dev loss; resumed or not."""
    early = {"every": 10, "patience": 1}
    make = partial(
        make_phase,
        epochs=8,
        lr=3e-2,
        early_stopping=early,
        checkpoints=[20, 90, 100],
        ctc_weight=0.0,
    )
    train(whole := make("whole"))
    dev = pd.read_csv(whole.directory / "dev.tsv", sep="\t")
    best = int(dev["dev_loss"].argmin())
    assert len(dev) - 1 - best == 1
    assert dev["step"].iloc[-1] < 24
    models = {p: (whole.directory / f"p{p}/model.pt").read_bytes() for p in (20, 90, 100)}
    assert models[90] == models[100]
    loss = torch.tensor(dev["dev_loss"][best])
    loaded = dataclasses.replace(make("again"), family=fun_asr_nano.load(whole.directory / "p100"))
    torch.testing.assert_close(torch.tensor(dev_loss(loaded)), loss.float(), rtol=1e-5, atol=0)

    broken = make("broken")
    for step in range(2, int(dev["step"].iloc[-1]) + 1, 3):
        with monkeypatch.context() as patch:
            kill_before(step, patch)
            with pytest.raises(KilledError):
                train(make("broken"))
    train(make("broken"))
    for percent, model in models.items():
        assert (broken.directory / f"p{percent}/model.pt").read_bytes() == model
    assert (broken.directory / "dev.tsv").read_bytes() == (whole.directory / "dev.tsv").read_bytes()


def dev_loss(phase: Phase) -> float:
    """The loss of a phase's model on its dev set."""
    return Trainer(phase).dev_loss()


@pytest.mark.parametrize(
    "change",
    [
        {"common": {"activation_checkpointing": True}},
        {"machine": {"encoder_cache_mb": 10}},
        {"machine": {"feature_cache_mb": 0, "workers": 2, "save_minutes": 15, "tensorboard": True}},
    ],
)
def test_saving_memory_or_time_changes_no_byte(
    make_phase: Callable[..., Phase], change: dict[str, Any]
) -> None:
    """Recomputed activations, and each value of section `machine`: the same files as without."""
    plain = make_phase("plain", freeze=PHASES["adaptor"])
    other = make_phase("other", freeze=PHASES["adaptor"])
    for name, values_ in change.items():
        part = dataclasses.replace(getattr(other, name), **values_)
        other = dataclasses.replace(other, **{name: part})
    for phase in (plain, other):
        train(phase)
    assert results(plain) == results(other)


def test_augmented_speech_changes_with_the_epoch_alone(make_phase: Callable[..., Phase]) -> None:
    """Masks and speeds are drawn by utterance, epoch and seed; the dev set is left alone."""
    augment = {"speeds": [0.9, 1.0, 1.1], "mel_masks": 2, "time_masks": 1, "time_share": 0.2}
    trainer = Trainer(make_phase(augment=augment))
    again = Trainer(make_phase(augment=augment))
    plain = Trainer(make_phase())
    first, second = ({p.row: p for batch in trainer.steps.epoch(n) for p in batch} for n in (0, 1))
    for row, pick in first.items():
        features = trainer.examples[pick].features
        assert torch.equal(features, again.examples[pick].features)
        assert not torch.equal(features, plain.examples[pick._replace(speed=1.0)].features)
        other = trainer.examples[second[row]].features
        assert features.shape != other.shape or not torch.equal(features, other)
        unmasked = plain.examples[pick].features
        assert features.shape == unmasked.shape
        assert (
            abs(len(unmasked) * pick.speed - len(plain.examples[pick._replace(speed=1.0)].features))
            < 2
        )
    pick = Pick(0, 0, 1.0)
    assert torch.equal(trainer.dev_examples[pick].features, plain.dev_examples[pick].features)
    train(make_phase("trained", augment=augment))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ["full", "adaptor-LoRA", "whisper-full"])
def test_a_resume_under_autocast_ends_in_the_same_bytes(
    make_phase: Callable[..., Phase],
    monkeypatch: pytest.MonkeyPatch,
    precision: Precision,
    name: str,
) -> None:
    """What scales the losses of fp16 is part of a state; the weights stay float32."""
    family, change = CASES[name]

    def make(directory: str) -> Phase:
        phase = make_phase(directory, family, **change)
        return dataclasses.replace(phase, precision=precision)

    train(whole := make("whole"))
    for step in (3, 6):
        with monkeypatch.context() as patch:
            kill_before(step, patch)
            with pytest.raises(KilledError):
                train(make("broken"))
    train(broken := make("broken"))
    assert results(broken) == results(whole)
    plain = make_phase("plain", family, **change)
    train(plain)
    first, second = (
        pd.read_csv(phase.directory / "log.tsv", sep="\t")["loss"] for phase in (plain, whole)
    )
    assert (first != second).any()
    pd.testing.assert_series_equal(first, second, rtol=0.05)


def test_fp16_backs_off_from_a_scale_that_overflows(make_phase: Callable[..., Phase]) -> None:
    """Such a step is left out (FunASR's trainer leaves out all that follow as well)."""
    phase = dataclasses.replace(make_phase(), precision="fp16")
    freezing.prepare(phase.family, phase.params, phase.common)
    trainer = Trainer(phase)
    trainer.scaler.load_state_dict(trainer.scaler.state_dict() | {"scale": 2.0**24})
    before = {n: p.detach().clone() for n, p in phase.family.model.named_parameters()}
    trainer.run()
    assert trainer.scaler.get_scale() < 2.0**24
    parameters = dict(phase.family.model.named_parameters())
    assert any(not torch.equal(before[name], p) for name, p in parameters.items())
    assert all(p.isfinite().all() and p.dtype == torch.float32 for p in parameters.values())


@pytest.mark.parametrize("phase", PHASES)
def test_the_division_of_a_step_changes_rounding_alone(
    make_phase: Callable[..., Phase], monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    """Losses of the first steps within 1e-5, whatever goes through the model at once."""
    micro_batches: list[int] = []
    original = Trainer._learn

    def learn(self: Trainer, share: Share, labels: int) -> tuple[float, torch.Tensor]:
        micro_batches.append(len(share.micro_batches))
        return original(self, share, labels)

    monkeypatch.setattr(Trainer, "_learn", learn)

    def losses(name: str, frames: int | Literal["auto"]) -> tuple[float, pd.DataFrame]:
        made = make_phase(name, freeze=PHASES[phase], ctc_weight=0.3, epochs=10)
        machine = dataclasses.replace(made.machine, micro_batch_frames=frames)
        common = dataclasses.replace(made.common, batch_frames=400, log_steps=1)
        for module in made.family.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        micro_batches.clear()
        train(dataclasses.replace(made, machine=machine, common=common))
        mean = float(np.mean(micro_batches))
        return mean, pd.read_csv(made.directory / "log.tsv", sep="\t")

    (once, whole), (twice, halves), (often, ones) = (losses(str(f), f) for f in ("auto", 200, 1))
    # Not by the losses, which can come out equal in all digits that are written.
    assert once == 1
    assert 1.5 < twice < often
    for other in (halves, ones):
        pd.testing.assert_frame_equal(whole[:20], other[:20], rtol=1e-5)


def test_a_gpu_without_room_gets_smaller_micro_batches(
    make_phase: Callable[..., Phase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Halved until they fit, in training and scoring; nothing is lost, and it is remembered."""
    made = make_phase("limited", ctc_weight=0.0)
    limited = dataclasses.replace(
        made, common=dataclasses.replace(made.common, dev_cer_utterances=4)
    )
    tried = []
    original, decode = Trainer._loss, hotwords.transcribe
    decoded: list[int] = []

    def transcribe(recogniser: Any, features: Any, *arguments: Any) -> list[Transcript]:
        decoded.append(len(features))
        if len(features) > 1:
            raise torch.OutOfMemoryError
        return decode(recogniser, features, *arguments)

    def loss(self: Trainer, batch: MicroBatch) -> torch.Tensor:
        found = original(self, batch)
        if self.phase.directory == limited.directory:
            tried.append(batch.frames)
            if batch.frames > 150:
                raise torch.OutOfMemoryError
        return found

    monkeypatch.setattr(Trainer, "_loss", loss)
    with monkeypatch.context() as patch:
        patch.setattr(hotwords, "transcribe", transcribe)
        train(limited)
    assert {1, 2} <= set(decoded)
    fits = int((limited.directory / "micro_batch_frames").read_text())
    assert fits <= 150
    assert sum(frames > 150 for frames in tried) <= 3
    small = make_phase("small", ctc_weight=0.0)
    machine = dataclasses.replace(small.machine, micro_batch_frames=fits)
    train(dataclasses.replace(small, machine=machine, common=limited.common))
    assert results(limited) == results(small)


def test_an_export_without_room_loses_no_checkpoint(
    make_phase: Callable[..., Phase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error ends the phase, which goes on from a state; none is left out."""

    def unable(self: Saving, name: str) -> None:
        raise torch.OutOfMemoryError

    train(whole := make_phase("whole"))
    phase = make_phase("broken")
    with monkeypatch.context() as patch:
        patch.setattr(Saving, "export", unable)
        with pytest.raises(torch.OutOfMemoryError):
            train(phase)
    train(again := make_phase("broken"))
    assert results(again) == results(whole)


def test_a_gpu_without_room_for_one_utterance_is_an_error(
    make_phase: Callable[..., Phase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That says what needs less."""

    def loss(self: Trainer, batch: MicroBatch) -> torch.Tensor:
        self._tried = dataclasses.replace(batch, ids=batch.ids[:1])
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Trainer, "_loss", loss)
    with pytest.raises(ConfigError, match=r"no room for one utterance, vn/u\d; freeze more"):
        train(make_phase())


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_used_is_left_out_and_named(
    make_phase: Callable[..., Phase],
    rows: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    """No audio, audio cut short, less than a frame: the phase ends, interrupted or not."""
    bad = rows.copy()
    bad.loc[3, "offset"] = 0
    bad.loc[4, ["offset", "size"]] = bad.loc[0, ["offset", "size"]]  # 0.4 s instead of 0.8
    bad.loc[4, "duration_s"] = 1.4
    sf.write(buffer := io.BytesIO(), np.zeros(100), 16_000, format="WAV")
    root = Path(rows.attrs["root"])
    (root / "short.tar").write_bytes(buffer.getvalue())
    bad.loc[5, "shard"] = "short.tar"
    bad.loc[5, ["offset", "size"]] = [0, buffer.tell()]
    bad.loc[5, "duration_s"] = 0.01

    def make(name: str, share: float) -> Phase:
        phase = make_phase(name)
        return dataclasses.replace(
            phase,
            train_rows=bad[:8],
            common=dataclasses.replace(phase.common, max_left_out=share),
            machine=dataclasses.replace(phase.machine, workers=workers),
        )

    train(whole := make("whole", 0.3))
    left_out = pd.read_csv(whole.directory / "left_out.tsv", sep="\t", index_col="id")["reason"]
    assert left_out.index.tolist() == ["vn/u3", "vn/u4", "vn/u5"]
    assert left_out["vn/u3"].endswith("at byte 0: no audio (Format not recognised.)")
    assert "its audio has 0.40 s, its row says 1.40" in left_out["vn/u4"]
    assert "100 samples, too few to hear" in left_out["vn/u5"]
    for step in (2, 5):
        with monkeypatch.context() as patch:
            kill_before(step, patch)
            with pytest.raises(KilledError):
                train(make("broken", 0.3))
    train(broken := make("broken", 0.3))
    assert results(broken) == results(whole)
    with pytest.raises(DataError, match=r"\d of 10 utterances cannot be used.*is 0.1: vn/u\d:"):
        train(make("strict", 0.1))


def test_a_missing_shard_is_no_bad_utterance(
    make_phase: Callable[..., Phase], rows: pd.DataFrame
) -> None:
    """It ends the phase, however much may be left out."""
    phase = make_phase()
    common = dataclasses.replace(phase.common, max_left_out=1.0)
    gone = rows[:8].assign(shard="gone.tar")
    with pytest.raises(DataError, match=r"shard .*gone.tar is missing"):
        train(dataclasses.replace(phase, common=common, train_rows=gone))


@pytest.mark.parametrize("family", ["fun_asr_nano", "whisper"])
def test_the_dev_cer_is_that_of_the_checkpoint(
    make_phase: Callable[..., Phase], monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    """Decoded while the phase runs or from the files it wrote; resumed or not; no bit moves.

    Also where every utterance is told names of its own.
    """

    def make(name: str, count: int = 2) -> Phase:
        language = {"fun_asr_nano": "日文", "whisper": "ja"}[family]
        drawn = {
            "language": language,
            "glossary": {"names": ["葵", "凛", "詩織"], "distractors": 1},
        }
        phase = make_phase(name, family, prompts=[{"language": language}, drawn])
        common = dataclasses.replace(phase.common, dev_cer_utterances=count)
        return dataclasses.replace(phase, common=common)

    train(whole := make("whole"))
    train(plain := make("plain", 0))
    written = results(whole)
    assert {name: b for name, b in results(plain).items() if name != "dev.tsv"} == {
        name: b for name, b in written.items() if name != "dev.tsv"
    }
    dev = pd.read_csv(whole.directory / "dev.tsv", sep="\t")
    assert dev.columns.tolist() == ["step", "dev_loss", "dev_cer"]
    for percent, cer in zip((50, 100), dev["dev_cer"], strict=True):
        loaded = families.load(family, whole.directory / f"p{percent}")
        utterances = Trainer(dataclasses.replace(make("again"), family=loaded)).dev_examples
        picks = dev_cer.sample(whole.dev_rows, 2)
        errors, characters = dev_cer.count_errors(loaded, utterances, picks, 6000)
        assert characters > 10
        assert cer == pytest.approx(errors / characters, rel=1e-5)
    with monkeypatch.context() as patch:
        kill_before(8, patch)
        with pytest.raises(KilledError):
            train(make("broken"))
    train(broken := make("broken"))
    assert results(broken) == written


def test_a_phase_can_stop_by_the_dev_cer(make_phase: Callable[..., Phase]) -> None:
    """The best by it becomes p100; without a sample, an error says which key to set."""
    early = {"every": 10, "patience": 2, "by": "dev_cer"}
    phase = make_phase(epochs=8, early_stopping=early, checkpoints=[100])
    with pytest.raises(ConfigError, match=r"set train.common.dev_cer_utterances"):
        train(phase)
    common = dataclasses.replace(phase.common, dev_cer_utterances=2)
    train(phase := dataclasses.replace(phase, common=common))
    dev = pd.read_csv(phase.directory / "dev.tsv", sep="\t")
    assert len(dev) - 1 - int(dev["dev_cer"].argmin()) == 2


def test_a_sample_stays_the_same_when_others_leave(rows: pd.DataFrame) -> None:
    """Chosen by the utterances' own ids."""
    chosen = {rows["id"].iloc[pick.row] for pick in dev_cer.sample(rows, 3)}
    fewer = rows[rows["id"].isin(chosen) | (rows.index % 2 == 0)].reset_index(drop=True)
    assert {fewer["id"].iloc[pick.row] for pick in dev_cer.sample(fewer, 3)} == chosen
