"""Our side of `benchmarks.train`, in a process of its own: a phase, ended after some steps.

Notes the batches it trains on in batches.json of its folder, for the other side.
"""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.corpus import CORPUS
from benchmarks.steps import end_after
from benchmarks.train_data import PROMPT
from galgame_asr.core.params import load
from galgame_asr.core.reader import ShardReader
from galgame_asr.families.common import compute
from galgame_asr.families.common.batching import num_frames
from galgame_asr.families.common.family import Example
from galgame_asr.families.common.params import ComputeParams, MachineParams
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.training.batches import Steps
from galgame_asr.training.params import CommonParams, TrainingParams
from galgame_asr.training.trainer import Phase, train

NEVER = 1_000_000
BATCHES = "batches.json"


def main() -> None:
    """Train; the last line of the output is the result of `end_after`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="as written by benchmarks.train_data")
    parser.add_argument("--frozen", nargs="*", default=[])
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--precision", choices=("float32", "bf16"), required=True)
    options = parser.parse_args()
    compute.set_up(
        ComputeParams(
            device="auto", precision=options.precision, cpu_threads=options.threads,
            reproducible=False,
        )
    )  # fmt: skip
    phase = make_phase(options)
    notes: dict[str, object] = {}
    watch(phase, options, notes)
    train(phase)


def make_phase(options: argparse.Namespace) -> Phase:
    """A phase of enough epochs, with the project's settings but for a constant learning rate."""
    rows = pd.read_parquet(options.folder / "rows.parquet")
    common = dataclasses.replace(
        load(CommonParams, "train.common"), batch_frames=options.frames,
        schedule="constant", warmup=0.0,
    )  # fmt: skip
    frames = num_frames(rows["duration_s"].to_numpy())
    epoch = Steps(frames, common.batch_frames, common.sort_window, 1, common.seed)
    family = fun_asr_nano.load(options.folder / "model")
    return Phase(
        family=family,
        common=common,
        machine=dataclasses.replace(
            load(MachineParams, "machine"), save_minutes=NEVER, workers=0, tensorboard=False
        ),
        params=TrainingParams(
            freeze={part: part in options.frozen for part in family.parts},
            lr=options.lr,
            epochs=options.steps // len(epoch) + 1,
            mix={CORPUS: 1.0},
            prompts=(PROMPT,),
        ),
        train_rows=rows,
        dev_rows=rows[:1],
        reader=ShardReader(options.folder / "raw"),
        checkpoints=(100,),
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        precision=options.precision,
        directory=options.folder / "phase",
        logs=options.folder / "logs",
    )


def watch(phase: Phase, options: argparse.Namespace, notes: dict[str, object]) -> None:
    """Note each batch and its loss, and end the process in time."""
    family: Any = phase.family
    losses: list[torch.Tensor] = []
    batches: list[list[str]] = []
    make_batch = family.training_batch

    def training_batch(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        batch: dict[str, torch.Tensor] = make_batch(examples)
        batches.append([example.id.partition("/")[2] for example in examples])
        if len(batches) == options.steps + 1:
            (options.folder / BATCHES).write_text(json.dumps(batches))
            labels = (batch["labels_ids"] >= 0).sum()
            heard = batch["fake_token_len"].sum()
            prompt = batch["attention_mask"].sum() - labels - heard
            counts = {"prompt": prompt, "speech": heard, "label": labels}
            notes["tokens"] = {name: float(c) / len(examples) for name, c in counts.items()}
        return batch

    def after_forward(_model: object, _given: object, outputs: dict[str, torch.Tensor]) -> None:
        losses.append(outputs["loss"].detach())

    family.training_batch = training_batch
    family.model.register_forward_hook(after_forward)
    end_after(options.steps, losses, notes)


if __name__ == "__main__":
    main()
