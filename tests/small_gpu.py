"""A phase one of whose processes has little room: python -m tests.small_gpu, in a stage's folder.

`launch.run` starts this module as a worker too, whose model then refuses large micro-batches, as
a GPU without room does: from the third step on or, where `NO_ROOM` is `score`, of the dev set after
the last step alone.
"""

import os
import sys
from pathlib import Path

import torch

from galgame_asr.core.params import load
from galgame_asr.families.common.params import ComputeParams, MachineParams, ModelParams
from galgame_asr.messages.console import run
from galgame_asr.training import launch, worker
from galgame_asr.training.dataset import MicroBatch
from galgame_asr.training.params import CommonParams, PhaseParams
from galgame_asr.training.phase import PhaseInputs
from galgame_asr.training.trainer import Trainer

ROOM = 100  # frames
UNFINISHED = Path("unfinished")


def main(arguments: list[str]) -> None:
    """Train in two processes; with an argument, be one of them."""
    if not arguments:
        UNFINISHED.mkdir()
        phase = load(PhaseParams, "train.phases.phase")
        inputs = PhaseInputs(
            init=Path("models/base"),
            family=load(ModelParams, "model").family,
            params=phase,
            common=load(CommonParams, "train.common"),
            compute=load(ComputeParams, "compute"),
            machine=load(MachineParams, "machine"),
            checkpoints=phase.checkpoints,
            raw=Path("data/raw"),
            mix=Path("data/mix/phase"),
            logs=Path("logs"),
        )
        launch.run("tests.small_gpu", inputs, inputs.compute, inputs.machine, UNFINISHED)
        return
    original = Trainer._loss

    def loss(self: Trainer, batch: MicroBatch) -> torch.Tensor:
        found = original(self, batch)
        if os.environ.get("NO_ROOM") == "score":
            little = not self.model.training and self.history.step == len(self.steps)
        else:
            little = self.history.step > 2
        if os.environ["RANK"] == "1" and little and len(batch.ids) > 1 and batch.frames > ROOM:
            raise torch.OutOfMemoryError
        return found

    Trainer._loss = loss  # type: ignore[method-assign]
    worker.main(arguments)


if __name__ == "__main__":
    run(lambda _: main(sys.argv[1:]))
