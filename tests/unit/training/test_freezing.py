"""Freeze flags set exactly what they say, or are an error."""

import pytest
from torch import nn

from galgame_asr.messages.errors import ConfigError
from galgame_asr.training.freezing import freeze

PARTS = {"encoder": "enc.", "llm": "llm."}


@pytest.fixture
def model() -> nn.Module:
    return nn.ModuleDict({"enc": nn.Linear(2, 2), "llm": nn.Linear(3, 3)})


def test_flags_decide_what_learns(model: nn.Module) -> None:
    """And the numbers tell how much; flags of an earlier phase are undone."""
    freeze(model, PARTS, {"encoder": False, "llm": True})
    assert freeze(model, PARTS, {"encoder": True, "llm": False}) == {"encoder": 0, "llm": 12}
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {"llm.weight", "llm.bias"}


def test_what_is_fixed_never_learns(model: nn.Module) -> None:
    """A formula's values inside a part, such as Whisper's positions."""
    learning = freeze(model, PARTS, {"encoder": False, "llm": False}, fixed=["enc.weight"])
    assert learning == {"encoder": 2, "llm": 12}
    assert not model.get_parameter("enc.weight").requires_grad


@pytest.mark.parametrize(
    ("parts", "flags", "message"),
    [
        (PARTS, {"encodr": True, "llm": False}, "'encodr', did you mean 'encoder'"),
        (PARTS, {"llm": False}, "must say true or false for each of: encoder"),
        (PARTS, {"encoder": True, "llm": True}, "nothing would learn"),
        (PARTS | {"ctc": "ctc."}, {"encoder": True, "llm": False, "ctc": True}, "begins with 'ctc"),
    ],
)
def test_flags_that_do_not_fit_are_errors(
    model: nn.Module, parts: dict[str, str], flags: dict[str, bool], message: str
) -> None:
    """A misspelt, forgotten or meaningless flag never trains something else in silence."""
    with pytest.raises(ConfigError, match=message):
        freeze(model, parts, flags)
