"""One phase of training from its inputs to its results, going on where it was interrupted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from galgame_asr import compute, families, manifest
from galgame_asr.audio.reader import ShardReader
from galgame_asr.params.compute import ComputeParams
from galgame_asr.params.train import CommonParams, TrainingParams
from galgame_asr.training import mix
from galgame_asr.training.resume import scratch
from galgame_asr.training.trainer import Phase, train


@dataclass(frozen=True)
class PhaseInputs:
    """What a phase trains with, and where its data lies."""

    family: str
    params: TrainingParams
    common: CommonParams
    compute: ComputeParams
    raw: Path  # shards
    split: Path  # train.parquet and dev.parquet
    logs: Path  # timings, for people


@contextmanager
def trained(init: Path, inputs: PhaseInputs, *, checkpoints: tuple[int, ...]) -> Iterator[Path]:
    """Train from the model directory `init`; give a directory with the results.

    It holds log.tsv, dev.tsv and a model directory pNN for each percentage in
    `checkpoints`; it is removed when the block ends without an exception.

    Raises:
        GalgameAsrError: as for `resume.scratch`, `families.load`, `mix.select` and `train`.
    """
    tables = [inputs.split / "train.parquet", inputs.split / "dev.parquet"]
    values = {
        "family": inputs.family,
        "params": inputs.params,
        "common": inputs.common,
        "compute": inputs.compute,
        "checkpoints": checkpoints,
    }
    with scratch([init, *tables], values) as directory:
        train_rows, dev_rows = (mix.select(manifest.read(t), inputs.params.mix) for t in tables)
        device = compute.device(inputs.compute)
        train(
            Phase(
                family=families.load(inputs.family, init),
                common=inputs.common,
                params=inputs.params,
                train_rows=train_rows,
                dev_rows=dev_rows,
                reader=ShardReader(inputs.raw),
                checkpoints=checkpoints,
                device=device,
                bf16=compute.use_bf16(inputs.compute, device),
                directory=directory,
                logs=inputs.logs,
            )
        )
        yield directory
