"""How labels fit the speech, by the CTC branch of a checkpoint."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from galgame_asr.families.common.family import Aligner
from galgame_asr.families.fun_asr_nano import alignment
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.family import FunAsrNano
from tests import nanos
from tests.models import TEXTS, build, noise

BLANK = 3


@pytest.fixture
def family(tmp_path: Path) -> FunAsrNano:
    """With the branch of its checkpoint."""
    loaded = fun_asr_nano.load(nanos.add_ctc(build(tmp_path / "base"), layers=1))
    assert isinstance(loaded, Aligner)
    assert loaded.take_branch()
    return loaded


def test_a_label_is_as_probable_as_the_loss_of_a_phase_says(family: FunAsrNano) -> None:
    """Alone as in a batch; with words, and without."""
    features = [family.features(noise(0.5 + number, number)) for number in range(3)]
    texts = [TEXTS[0], "", TEXTS[1]]
    found = family.align(features, texts)
    for item, text, fit in zip(features, texts, found, strict=True):
        (alone,) = family.align([item], [text])
        assert alone.log_prob == pytest.approx(fit.log_prob, rel=1e-4)
        assert (alone.lead_s, alone.tail_s) == (fit.lead_s, fit.tail_s)
        labels = torch.tensor([family.ctc_tokenizer.encode(text)], dtype=torch.long)
        encoded, lengths = family.encode(family._speech([item]))
        with torch.no_grad():
            loss = float(family.model._ctc_loss(encoded, lengths, labels))
        tokens = max(labels.shape[1], 1)
        # A loss of what has no room is none.
        expected = max(-loss / tokens, alignment.LEAST) if loss else alignment.LEAST
        assert fit.log_prob == pytest.approx(expected, rel=1e-4)


def fits(frames: list[int], *labels: list[int]) -> list[Any]:
    """Of a branch that is sure of a token in each frame, 60 ms apart."""
    log_probs = torch.nn.functional.one_hot(torch.tensor(frames), BLANK + 1).float().mul(20)
    rows = log_probs.log_softmax(-1).expand(len(labels), -1, -1)
    model: Any = SimpleNamespace(ctc_log_probs=lambda *_: rows, ctc_blank=BLANK, ctc_unproven=False)
    lengths = torch.tensor([len(frames)] * len(labels))
    tokens = [torch.tensor(label, dtype=torch.long) for label in labels]
    return alignment.fits(model, rows, lengths, tokens, 6)


def test_silence_is_before_and_after_what_is_heard() -> None:
    """By the frames whose most probable token is none; without one, all is before."""
    (right, wrong, long) = fits([3, 3, 1, 3, 2, 3], [1, 2], [2, 1], [1] * 7)
    assert right.log_prob == pytest.approx(0, abs=1e-3)
    assert wrong.log_prob < -10
    assert long.log_prob == alignment.LEAST
    for fit in (right, wrong, long):
        assert (fit.lead_s, fit.tail_s) == pytest.approx((0.12, 0.06))
    (silent,) = fits([3, 3], [])
    assert (silent.log_prob, silent.lead_s, silent.tail_s) == pytest.approx((0, 0.12, 0), abs=1e-3)


def test_a_checkpoint_without_the_branch_tells_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither does one whose weights lack it, or whose tokens nobody can make: no error."""
    assert not fun_asr_nano.load(build(tmp_path / "plain")).take_branch()
    directory = nanos.add_ctc(build(tmp_path / "base"), layers=1)
    saved = torch.load(directory / "model.pt", weights_only=True)
    kept = {k: v for k, v in saved["state_dict"].items() if not k.startswith("ctc")}
    torch.save({"state_dict": kept}, directory / "model.pt")
    assert not fun_asr_nano.load(directory).take_branch()
    directory = nanos.add_ctc(build(tmp_path / "other"), layers=1)
    (directory / "multilingual.tiktoken").unlink()
    assert not fun_asr_nano.load(directory).take_branch()
    assert "how labels fit is not told: ctc_weight trains the CTC branch of" in caplog.text
