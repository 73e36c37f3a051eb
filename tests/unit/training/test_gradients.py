"""What saves time and memory in a training step changes neither its loss nor its gradients."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from torch import nn

from galgame_asr.core.params import load, parse
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano import network as fun_asr_nano_model
from galgame_asr.families.fun_asr_nano.family import FunAsrNano
from galgame_asr.families.fun_asr_nano.weights import read_config, save_weights
from galgame_asr.messages.errors import ConfigError
from galgame_asr.training import optimizer as optimizers
from galgame_asr.training.activation_checkpointing import recompute
from galgame_asr.training.encoder_cache import EncoderCache
from galgame_asr.training.freezing import freeze
from galgame_asr.training.params import CommonParams, PhaseParams
from tests.conftest import REPOSITORY
from tests.models import build, examples, gradients
from tests.phases import values

PARAMS = REPOSITORY / "params.yaml"
LENGTHS_S = [0.5, 1.3, 2.0, 0.9]
PHASES = {
    "adaptor": {"encoder": True, "adaptor": False, "llm": True},
    "encoder": {"encoder": False, "adaptor": False, "llm": True},
    "full": {"encoder": False, "adaptor": False, "llm": False},
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with dropout: recomputing must draw the same again."""
    directory = build(tmp_path_factory.mktemp("model") / "base")
    config = YAML(typ="safe").load(directory / "config.yaml")
    config["audio_encoder_conf"] |= {"dropout_rate": 0.1, "num_blocks": 6}
    YAML().dump(config, directory / "config.yaml")
    (directory / "model.pt").unlink()
    torch.manual_seed(0)
    model = fun_asr_nano_model.Model(**read_config(directory), input_size=560, vocab_size=-1)
    save_weights(model, directory / "model.pt")
    return directory


def step(
    directory: Path, frozen: dict[str, bool], change: Callable[[FunAsrNano], Any]
) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """Loss, gradients and bytes kept for the backward pass of one training step."""
    family = fun_asr_nano.load(directory)
    freeze(family.model, family.parts, frozen)
    change(family)
    family.model.train()
    batch = family.training_batch(examples(family, LENGTHS_S))
    weights = {p.untyped_storage().data_ptr() for p in family.model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = family.model(**batch)["loss"]
    loss.backward()
    return loss.detach(), gradients(family.model), sum(kept.values())


def assert_close(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, gradient in first.items():
        assert (gradient - second[name]).norm() <= 1e-5 * gradient.norm() + 1e-7, name


@pytest.mark.parametrize("phase", PHASES)
def test_recomputed_activations_give_the_same_gradients(directory: Path, phase: str) -> None:
    """Bit for bit, with dropout, in SAN-M, adaptor and language model, learning or frozen."""
    loss, plain, kept = step(directory, PHASES[phase], lambda _: None)
    again, recomputed, less = step(directory, PHASES[phase], lambda f: recompute(f.layers))
    assert again == loss
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        assert torch.equal(gradient, recomputed[name]), name
    # Of the adaptor's phase, the head at this size keeps most.
    assert less < (0.8 if phase == "adaptor" else 0.5) * kept


@pytest.mark.parametrize("recomputing", [False, True])
@pytest.mark.parametrize("phase", PHASES)
def test_the_instruction_is_computed_once(
    directory: Path, phase: str, recomputing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For all rows together or for each: loss within 1e-6, gradients within 1e-5."""
    change = (lambda f: recompute(f.layers)) if recomputing else (lambda _: None)
    monkeypatch.setattr(fun_asr_nano_model, "MIN_SHARED", 10**9)
    loss, plain, kept = step(directory, PHASES[phase], change)
    monkeypatch.setattr(fun_asr_nano_model, "MIN_SHARED", 1)
    again, shared, less = step(directory, PHASES[phase], change)
    torch.testing.assert_close(again, loss, rtol=1e-6, atol=0)
    assert_close(plain, shared)
    assert recomputing or less < kept


def test_the_instruction_is_kept_only_while_it_cannot_change(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From step to step where the language model is frozen; where it learns, never."""
    monkeypatch.setattr(fun_asr_nano_model, "MIN_SHARED", 1)
    for phase, kept in (("adaptor", 1), ("full", 0)):
        family = fun_asr_nano.load(directory)
        freeze(family.model, family.parts, PHASES[phase])
        for _ in range(2):
            family.model(**family.training_batch(examples(family, LENGTHS_S)))
        assert len(family.model._instructions) == kept


@pytest.mark.parametrize(
    ("phase", "on_gpu", "passes"),
    [("adaptor", False, 3), ("adaptor", True, 3), ("full", False, 4), ("full", True, 2)],
)
def test_a_gpu_takes_no_pass_more_where_the_language_model_learns(
    directory: Path, phase: str, on_gpu: bool, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes through it in two steps: the instruction's own are one if kept, or one a step."""
    monkeypatch.setattr(fun_asr_nano_model, "MIN_SHARED", 1)
    monkeypatch.setattr(fun_asr_nano_model.Model, "is_on_gpu", on_gpu)
    family = fun_asr_nano.load(directory)
    freeze(family.model, family.parts, PHASES[phase])
    counted: list[object] = []
    family.model.llm.model.register_forward_hook(lambda *_: counted.append(None))
    for _ in range(2):
        family.model(**family.training_batch(examples(family, LENGTHS_S)))
    assert len(counted) == passes


def test_only_what_all_rows_begin_with_is_shared(directory: Path) -> None:
    """Rows with other instructions share their beginning; one row shares all of its own."""
    family = fun_asr_nano.load(directory)
    batch = examples(family, [0.5, 0.5])
    alone = family.training_batch(batch[:1])
    assert len(alone["instruction"]) == int(alone["fbank_beg"])
    other = type(batch[0])("x", batch[1].features, Prompt(language=None), "あ", 0.5)
    mixed = family.training_batch([batch[0], other])
    same = int((mixed["input_ids"][0] == mixed["input_ids"][1]).int().cumprod(0).sum())
    assert mixed["instruction"] == mixed["input_ids"][0, :same].tolist()
    assert 0 < same < int(alone["fbank_beg"])


def test_the_encoder_cache_gives_the_encoders_own_output(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, in another batch too, without asking the encoder again; within its size."""
    family = fun_asr_nano.load(directory)
    items = examples(family, LENGTHS_S)
    batches = [items, items[2:], items[::-1]]
    cache = EncoderCache(family, max_bytes=10**6)
    for number, batch in enumerate(batches):
        inputs = family.training_batch(batch)
        expected, _ = family.encode(inputs)
        with monkeypatch.context() as patch:
            if number:
                patch.setattr(family.model, "encode", None)
            found = cache.encoded([item.id for item in batch], inputs)
        assert torch.equal(found, expected[:, : found.shape[1]])
        plain, cached = (family.model(**inputs, encoded=e)["loss"] for e in (None, found))
        assert plain == cached
    small = EncoderCache(family, max_bytes=1)
    small.encoded([item.id for item in items], family.training_batch(items))
    assert not small._outputs


def test_attention_is_sdpa(directory: Path) -> None:
    """Torch's fused attention, which every GPU has."""
    family = fun_asr_nano.load(directory)
    assert family.model.llm.config._attn_implementation == "sdpa"


def test_norms_and_biases_do_not_decay(directory: Path) -> None:
    """Weight decay pulls matrices alone towards zero, and each part learns at its own rate."""
    family = fun_asr_nano.load(directory)
    params = parse(PhaseParams, values(lr={"encoder": 1e-3, "adaptor": 2e-3, "llm": 3e-3}), "phase")
    common = replace(load(CommonParams, "train.common", file=PARAMS), weight_decay=0.1)
    optimizer = optimizers.make(family.model, family.parts, params, common)
    optimizers.set_rates(optimizer, 0.5)
    groups = {p: group for group in optimizer.param_groups for p in group["params"]}
    rates = {"audio_encoder": 0.5e-3, "audio_adaptor": 1e-3, "llm": 1.5e-3}
    for name, parameter in family.model.named_parameters():
        assert groups[parameter]["weight_decay"] == (0.1 if parameter.dim() > 1 else 0), name
        assert groups[parameter]["lr"] == rates[name.partition(".")[0]], name
    assert any(isinstance(m, nn.LayerNorm) for m in family.model.modules())


def test_every_part_that_learns_has_a_rate() -> None:
    """A name that is no part is an error, and so is a part without one."""
    with pytest.raises(ConfigError, match="lr names lm; parts: encoder, llm"):
        optimizers.part_rates({"encoder": 1e-3, "lm": 1e-3}, ["encoder", "llm"], ["encoder"])
    with pytest.raises(ConfigError, match="lr has no rate for llm, which learns"):
        optimizers.part_rates({"encoder": 1e-3}, ["encoder", "llm"], ["encoder", "llm"])
