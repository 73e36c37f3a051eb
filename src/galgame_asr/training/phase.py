"""One phase of training from its inputs to its results, going on where it was interrupted."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from galgame_asr.core import processes, utterances
from galgame_asr.core.files import write_text
from galgame_asr.core.paths import COMPUTE
from galgame_asr.core.reader import ShardReader
from galgame_asr.families.common import compute
from galgame_asr.families.common import family as families
from galgame_asr.families.common.params import ComputeParams, MachineParams
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import ConfigError
from galgame_asr.training import launch
from galgame_asr.training.depends import depends
from galgame_asr.training.params import CommonParams, TrainingParams
from galgame_asr.training.resume import scratch
from galgame_asr.training.stopping import noted
from galgame_asr.training.trainer import Phase, train


@dataclass(frozen=True)
class PhaseInputs:
    """What a phase trains with, and where its data lies."""

    init: Path  # model directory
    family: str
    params: TrainingParams
    common: CommonParams
    compute: ComputeParams
    machine: MachineParams
    checkpoints: tuple[int, ...]  # percents
    raw: Path  # shards
    mix: Path  # train.parquet, dev.parquet, and noise.parquet where the mix has noise
    logs: Path  # timings, for people
    every_steps: int | None = None

    @property
    def tables(self) -> list[Path]:
        """The rows to train on, those of the dev set, and clips of noise if they are needed."""
        augment = self.params.augment
        names = ["train", "dev", "noise"] if augment and augment.noise else ["train", "dev"]
        return [self.mix / f"{name}.parquet" for name in names]


@contextmanager
def trained(inputs: PhaseInputs) -> Iterator[Path]:
    """Train one phase; give a directory with the results.

    It holds `RECORDS`, a model directory pNN for each percentage in `checkpoints`, and sN for each
    multiple of `every_steps`; it is removed when the block ends without an exception.

    Raises:
        ConfigError: noise is asked for, and the mix has none.
        GalgameAsrError: as for `resume.scratch`, `families.load`, `train` and `launch.run`.
    """
    if inputs.tables[0].exists() and not inputs.tables[-1].exists():
        raise ConfigError(
            "augment.noise: the mix has no corpus without speech; add one, such as {bgm: 0.0}"
        )
    values = depends(
        inputs.family, inputs.params, inputs.common, inputs.compute, inputs.checkpoints,
        inputs.every_steps,
    )  # fmt: skip
    if "DVC_STAGE" in os.environ:
        processes.stop_without_parent()
    with scratch([inputs.init, *inputs.tables], values) as directory:
        with noted(directory):
            if launch.needed(inputs.machine):
                launch.run(
                    "galgame_asr.training.worker", inputs, inputs.compute, inputs.machine, directory
                )
            else:
                train_here(inputs, directory)
        yield directory


def train_here(inputs: PhaseInputs, directory: Path) -> None:
    """Train in this process, be it the only one or one of several that work together.

    Raises:
        GalgameAsrError: as for `families.load` and `train`.
    """
    train_rows, dev_rows, *noise_rows = map(utterances.read, inputs.tables)
    device = compute.device(inputs.compute)
    precision = compute.precision(inputs.compute, device)
    if os.environ.get("RANK", "0") == "0":
        _record(compute.used(device, precision), directory / COMPUTE)
    train(
        Phase(
            family=families.load(inputs.family, inputs.init),
            common=inputs.common,
            machine=inputs.machine,
            params=inputs.params,
            train_rows=train_rows,
            dev_rows=dev_rows,
            reader=ShardReader(inputs.raw),
            checkpoints=inputs.checkpoints,
            every_steps=inputs.every_steps,
            device=device,
            precision=precision,
            directory=directory,
            logs=inputs.logs,
            noise_rows=noise_rows[0] if noise_rows else None,
        )
    )


def _record(used: compute.Used, file: Path) -> None:
    """Note what a phase runs on, after what it ran on before it was interrupted."""
    before = json.loads(file.read_text()) if file.exists() else []
    if before[-1:] == [asdict(used)]:
        return
    if before:
        log.warning(
            "the phase ran on %s and goes on on %s: its numbers will be those of neither",
            compute.Used(**before[-1]), used,
        )  # fmt: skip
    write_text(file, json.dumps([*before, asdict(used)], indent=1) + "\n")
