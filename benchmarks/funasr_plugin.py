"""What FunASR's trainer needs for `benchmarks.train`; it imports this as `remote_code`.

Its own code does the work: reading, features, batches' tensors, model, steps. Changed is:

- Without a GPU, train_ds asks torch for a device that is not there.
- The batches are those of a file, and the process ends after some steps.
- Padded encoder frames are zeroed, as in our model: the tiny one's adaptor stacks frames,
  and would mix them into the last real ones. The published adaptor does not.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from funasr.models.fun_asr_nano.model import FunASRNano
from funasr.register import tables
from funasr.train_utils.trainer_ds import Trainer

from benchmarks.steps import end_after

losses: list[torch.Tensor] = []


class RecordedBatches:
    """A batch sampler as FunASR's data loader uses it."""

    def __init__(self, batches: list[list[int]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)

    def set_epoch(self, epoch: int) -> None:
        """There is only one."""


@tables.register("batch_sampler_classes", "RecordedBatches")  # type: ignore[untyped-decorator]
def recorded_batches(
    dataset: Any, *, batches: str, steps: int, is_training: bool = True, **_others: Any
) -> dict[str, Any]:
    """The arguments of the DataLoader for a file with lists of keys.

    Raises:
        KeyError: FunASR left one of them out of its index.
    """
    if is_training:
        end_after(steps, losses, {})
    place = {row["key"]: number for number, row in enumerate(dataset.index_ds.contents)}
    keys = json.loads(Path(batches).read_text())
    return {"batch_sampler": RecordedBatches([[place[key] for key in batch] for batch in keys])}


def _patch() -> None:
    take_step, encode = Trainer.forward_step, FunASRNano.encode

    def forward_step(self: Any, model: Any, batch: Any, loss_dict: dict[str, Any]) -> None:
        take_step(self, model, batch, loss_dict)
        losses.append(loss_dict["loss"].detach())

    def zeroed(self: Any, *speech: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        encoded, lengths = encode(self, *speech)
        real = torch.arange(encoded.shape[1], device=encoded.device) < lengths[:, None]
        return encoded * real[..., None], lengths

    Trainer.forward_step, FunASRNano.encode = forward_step, zeroed
    if not torch.cuda.is_available():
        cpu = torch.device("cpu")
        Trainer.device = property(lambda _self: cpu, lambda _self, _given: None)


_patch()
