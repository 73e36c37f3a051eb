"""Steps on fake tensors, and the same on real ones."""

from dataclasses import dataclass

from galgame_asr.planning.memory import LiveBytes, Memory, _optimizer, predict, run_step
from galgame_asr.planning.plan import Planner
from galgame_asr.training.params import CommonParams, PhaseParams


@dataclass(frozen=True)
class Real:
    """Bytes of tensors that have content."""

    weights: int
    batch: int
    marks: list[int]  # after forward, backward and update of each step, weights and batch included
    peak: int


def both(
    planner: Planner, params: PhaseParams, common: CommonParams, utterances: int
) -> tuple[Memory, Real]:
    """Bytes of the steps of a phase in float32, as predicted and as counted."""
    make_model, (make_batch,) = planner._step(params, common, [utterances])
    with planner.module.fakeable(planner.speech.text_tokens):
        (predicted,) = predict(make_model, [make_batch], "float32")
    model = make_model()
    with LiveBytes() as live:
        for tensor in (*model.parameters(), *model.buffers()):
            live.add(tensor)
        weights = live.now
        optimizer, batch = _optimizer(model), make_batch()
        batch_bytes = live.now - weights
        marks = [
            mark
            for _ in range(2)
            for mark in run_step(model, optimizer, batch, "float32", mark=lambda: live.now)
        ]
    return predicted, Real(weights, batch_bytes, marks, live.peak)
