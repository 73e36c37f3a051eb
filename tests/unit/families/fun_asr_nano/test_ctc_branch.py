"""The published branch for timestamps: left as it is, or trained by its own loss."""

from itertools import chain
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.network import IGNORED
from galgame_asr.messages.errors import ConfigError
from galgame_asr.training.freezing import freeze
from tests import nanos
from tests.models import build, examples, gradients

NAMES = ("ctc_decoder.", "ctc.")
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
    family.add_ctc_loss(0.5)
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
        fun_asr_nano.load(directory).add_ctc_loss(0.5)
