"""One phase of training from its inputs to its results, going on where it was interrupted."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from galgame_asr.core import processes, utterances
from galgame_asr.core.reader import ShardReader
from galgame_asr.families.common import compute
from galgame_asr.families.common import family as families
from galgame_asr.families.common.params import ComputeParams
from galgame_asr.training import launch, mix
from galgame_asr.training.params import CommonParams, TrainingParams
from galgame_asr.training.resume import scratch
from galgame_asr.training.trainer import Phase, train


@dataclass(frozen=True)
class PhaseInputs:
    """What a phase trains with, and where its data lies."""

    init: Path  # model directory
    family: str
    params: TrainingParams
    common: CommonParams
    compute: ComputeParams
    checkpoints: tuple[int, ...]  # percents
    raw: Path  # shards
    split: Path  # train.parquet and dev.parquet
    logs: Path  # timings, for people

    @property
    def tables(self) -> list[Path]:
        """The rows to train on and those of the dev set."""
        return [self.split / "train.parquet", self.split / "dev.parquet"]


@contextmanager
def trained(inputs: PhaseInputs) -> Iterator[Path]:
    """Train one phase; give a directory with the results.

    It holds log.tsv, dev.tsv and a model directory pNN for each percentage in
    `checkpoints`; it is removed when the block ends without an exception.

    Raises:
        GalgameAsrError: as for `resume.scratch`, `families.load`, `mix.select`, `train`
            and `launch.run`.
    """
    values = {
        "family": inputs.family,
        "params": inputs.params,
        "common": inputs.common,
        "compute": inputs.compute,
        "checkpoints": inputs.checkpoints,
    }
    if "DVC_STAGE" in os.environ:
        processes.stop_without_parent()
    with scratch([inputs.init, *inputs.tables], values) as directory:
        if launch.needed(inputs.compute):
            launch.run("galgame_asr.training.worker", inputs, inputs.compute, directory)
        else:
            train_here(inputs, directory)
        yield directory


def train_here(inputs: PhaseInputs, directory: Path) -> None:
    """Train in this process, be it the only one or one of several that work together.

    Raises:
        GalgameAsrError: as for `families.load`, `mix.select` and `train`.
    """
    train_rows, dev_rows = (
        mix.select(utterances.read(table), inputs.params.mix) for table in inputs.tables
    )
    device = compute.device(inputs.compute)
    train(
        Phase(
            family=families.load(inputs.family, inputs.init),
            common=inputs.common,
            params=inputs.params,
            train_rows=train_rows,
            dev_rows=dev_rows,
            reader=ShardReader(inputs.raw),
            checkpoints=inputs.checkpoints,
            device=device,
            bf16=compute.use_bf16(inputs.compute, device),
            directory=directory,
            logs=inputs.logs,
        )
    )
