"""The published branch for timestamps: left as it is, or trained by its own loss."""

import dataclasses
from itertools import chain
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from galgame_asr.core.params import load, parse
from galgame_asr.families.fun_asr_nano import ctc_branch
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.family import FunAsrNano
from galgame_asr.families.fun_asr_nano.network import IGNORED
from galgame_asr.messages.errors import CheckpointError, ConfigError
from galgame_asr.training.freezing import freeze, prepare
from galgame_asr.training.params import CommonParams, PhaseParams
from tests import nanos
from tests.conftest import REPOSITORY
from tests.models import build, examples, gradients
from tests.phases import values

NAMES = ("ctc_decoder.", "ctc.")
COMMON = load(CommonParams, "train.common", file=REPOSITORY / "params.yaml")
FROZEN = {"encoder": True, "adaptor": False, "llm": True}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model with the branch, as the published one has it; a tokenizer of single bytes."""
    directory = nanos.add_ctc(build(tmp_path / "base"), layers=1)
    config = YAML(typ="safe").load(directory / "config.yaml")
    YAML().dump(config | {"ctc_weight": 1.0}, directory / "config.yaml")
    return directory


def weights(directory: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = torch.load(directory / "model.pt", weights_only=True)[
        "state_dict"
    ]
    return tensors


def test_without_its_loss_the_branch_is_no_part_of_training(
    directory: Path, tmp_path: Path
) -> None:
    """Nothing of it is in the optimizer, and a checkpoint has it bit for bit."""
    family = fun_asr_nano.load(directory)
    freeze(family.model, family.parts, FROZEN)
    assert not any(name.startswith(NAMES) for name, _ in family.model.named_parameters())
    family.save(tmp_path / "saved")
    before, after = weights(directory), weights(tmp_path / "saved")
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_its_loss_trains_all_of_it(directory: Path, tmp_path: Path) -> None:
    """The loss is torch's, on texts in the branch's own tokens; the checkpoint has what moved."""
    family = fun_asr_nano.load(directory)
    speech = examples(family, [1.5, 2.5])
    plain = family.model(**family.training_batch(speech))["loss"]
    family.add_ctc_loss(0.5, "published")
    freeze(family.model, family.parts, FROZEN)
    batch = family.training_batch(speech)
    texts = [list(example.text.encode()) for example in speech]
    assert [row[row != IGNORED].tolist() for row in batch["ctc_labels"]] == texts
    loss = family.model(**batch)["loss"]
    with torch.no_grad():
        encoded, lengths = family.model.encode(batch["speech"], batch["speech_lengths"])
        decoded, _ = family.model.ctc_decoder(encoded, lengths)
        ctc = torch.nn.functional.ctc_loss(
            family.model.ctc.log_softmax(decoded).transpose(0, 1),
            torch.tensor([*chain.from_iterable(texts)]),
            lengths.long(),
            torch.tensor([len(text) for text in texts]),
            blank=299, zero_infinity=True, reduction="sum",
        )  # fmt: skip
    # Per label token of the language model, as its own loss is: a step has one divisor.
    torch.testing.assert_close(loss, plain + 0.5 * ctc / family.num_labels(batch))
    loss.backward()
    learned = gradients(family.model)
    branch = {name for name, _ in family.model.named_parameters() if name.startswith(NAMES)}
    assert {name for name in learned if name.startswith(NAMES)} == branch
    torch.optim.SGD(family.model.parameters(), lr=0.1).step()
    family.save(tmp_path / "saved")
    before, after = weights(directory), weights(tmp_path / "saved")
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert "ctc.ctc_lo.weight" in moved
    assert {name.split(".")[0] for name in moved} == {"audio_adaptor", "ctc_decoder", "ctc"}


def test_a_branch_without_its_tokenizer_is_an_error(directory: Path) -> None:
    """Training it on other tokens would spoil its timestamps."""
    (directory / "multilingual.tiktoken").unlink()
    with pytest.raises(ConfigError, match="set ctc_weight to 0 to leave the branch as it is"):
        fun_asr_nano.load(directory).add_ctc_loss(0.5, "published")


@pytest.fixture
def without(directory: Path) -> Path:
    """The same, but its weights hold nothing of the branch, as on the Hugging Face hub."""
    saved = {name: t for name, t in weights(directory).items() if not name.startswith(NAMES)}
    torch.save({"state_dict": saved}, directory / "model.pt")
    return directory


def params(**change: object) -> PhaseParams:
    """Of a phase in which the adaptor learns, and the branch."""
    return parse(PhaseParams, values(freeze=FROZEN, ctc_weight=0.5) | change, "phase")


def prepared(directory: Path, seed: int = 0, **change: object) -> FunAsrNano:
    """A model as a phase has it."""
    family = fun_asr_nano.load(directory)
    prepare(family, params(**change), dataclasses.replace(COMMON, seed=seed))
    return family


def learned(family: FunAsrNano, steps: int, saved: Path) -> Path:
    """Train on four utterances, and save."""
    batch = family.training_batch(examples(family, [1.5, 2.5, 1.0, 2.0]))
    optimizer = torch.optim.AdamW([p for p in family.model.parameters() if p.requires_grad], 3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        family.model(**batch)["loss"].backward()
        optimizer.step()
    family.save(saved)
    return saved


def test_a_base_without_the_branch_is_an_error_that_names_the_remedies(without: Path) -> None:
    """No head is trained and thrown away."""
    with pytest.raises(
        ConfigError, match=r"hold none\. Set ctc: new .*source: modelscope; .* to 0"
    ):
        prepared(without)


def test_a_new_branch_is_trained_and_kept(without: Path, tmp_path: Path) -> None:
    """It is drawn from the seed, saved as funasr names it, and goes on as the checkpoint's own."""
    first, same, other = (prepared(without, seed, ctc="new") for seed in (0, 0, 1))
    heads = [family.model.ctc.ctc_lo.weight for family in (first, same, other)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    before = heads[0].detach().clone()
    saved = learned(first, 3, tmp_path / "saved")
    found = weights(saved)
    assert {n for n in found if n.startswith(NAMES)} == {
        n for n, _ in first.model.named_parameters() if n.startswith(NAMES)
    }
    assert not torch.equal(found["ctc.ctc_lo.weight"], before)
    again = prepared(saved, ctc="published")
    assert torch.equal(again.model.ctc.ctc_lo.weight, found["ctc.ctc_lo.weight"])


def test_a_new_branch_takes_the_place_of_another(directory: Path, tmp_path: Path) -> None:
    """None of its tensors is kept."""
    saved = learned(prepared(directory, ctc="new"), 0, tmp_path / "saved")
    before, after = weights(directory), weights(saved)
    assert before.keys() == after.keys()
    same = [n for n in before if n.startswith(NAMES) and torch.equal(before[n], after[n])]
    assert all("norm" in name for name in same), "what begins as ones and zeros alone"


def test_a_random_branch_is_told_by_its_loss(
    directory: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Said at the first step, once; a branch that was trained a little is taken for one."""
    with caplog.at_level("WARNING"):
        family = prepared(directory)
        saved = learned(family, 40, tmp_path / "saved")
        assert [m for m in caplog.messages if "CTC branch knows no speech: its loss is" in m]
        assert len(caplog.messages) == 1
        caplog.clear()
        learned(prepared(saved), 1, tmp_path / "again")
        learned(prepared(saved, ctc="new"), 1, tmp_path / "anew")
    assert caplog.messages == []


def test_chance_is_the_loss_of_equal_probabilities() -> None:
    """As torch computes it with all columns."""
    texts = [torch.tensor([3, 3, 7]), torch.tensor([9])]
    lengths = torch.tensor([6, 4])
    expected = torch.nn.functional.ctc_loss(
        torch.zeros(6, 2, 11).log_softmax(-1), torch.cat(texts), lengths, torch.tensor([3, 1]),
        blank=10, reduction="sum",
    )  # fmt: skip
    assert ctc_branch.chance(lengths, texts, 11) == pytest.approx(float(expected))


def test_a_config_of_funasrs_trainer_gives_a_random_branch_away(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It started from the file that has none."""
    config = YAML(typ="safe").load(directory / "config.yaml")
    cache = "/root/.cache/huggingface/hub/models--FunAudioLLM--Fun-ASR-Nano-2512/snapshots/1"
    YAML().dump(config | {"model_path": cache}, directory / "config.yaml")
    with caplog.at_level("WARNING"):
        prepared(directory)
    assert "FunASR trained this from the Hugging Face hub's file" in caplog.text


def test_a_branch_that_is_not_as_described_is_an_error(directory: Path) -> None:
    """A tensor too few; or config.yaml knows of none."""
    saved = weights(directory)
    del saved["ctc.ctc_lo.bias"]
    torch.save({"state_dict": saved}, directory / "model.pt")
    with pytest.raises(CheckpointError, match=r"none that config\.yaml describes: .*ctc_lo\.bias"):
        prepared(directory)
    config = YAML(typ="safe").load(directory / "config.yaml")
    YAML().dump(config | {"ctc_decoder": None}, directory / "config.yaml")
    for branch in ("published", "new"):
        with pytest.raises(ConfigError, match=r"config\.yaml describes no CTC branch"):
            prepared(directory, ctc=branch)


def test_a_new_branch_needs_its_loss() -> None:
    """Else it would stay random."""
    with pytest.raises(ConfigError, match="ctc is new, and only a ctc_weight above 0 trains"):
        params(ctc="new", ctc_weight=0.0)
