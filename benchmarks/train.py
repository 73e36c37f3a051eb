"""Training: a phase of ours against FunASR's own trainer, `funasr.bin.train_ds`.

The same weights, utterances, batches in the same order, constant learning rate and AdamW,
without validation and checkpoints; each side in a process of its own. Speed and peak memory are
those of the steps after the first. Mapped files are not counted as memory. Losses are compared
over the first steps alone: filter banks differ in their last bits, and what differs grows.

Needs a finished `dvc repro`. Dims `true`, the published dimensions with random weights, needs
20 GB of memory for phase full and 4 GB of disk.

    python -m benchmarks.train [--dims tiny|true] [--phases adaptor encoder full] [--steps N]
        [--precisions float32 bf16]
"""

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks import measure, train_data
from benchmarks.train_ours import BATCHES
from galgame_asr.core.params import load
from galgame_asr.training.params import CommonParams

PLUGIN = Path(__file__).with_name("funasr_plugin.py")
NEVER = 1_000_000
COMPARED = 20  # steps
FROZEN = {"adaptor": ["encoder", "llm"], "encoder": ["llm"], "full": []}
# Part -> its section of FunASR's configuration.
SECTIONS = {"encoder": "audio_encoder_conf", "adaptor": "audio_adaptor_conf", "llm": "llm_conf"}


@dataclass(frozen=True)
class Dims:
    """A size that training is measured at."""

    write: Callable[[Path], None]
    steps: int
    frames: int  # per batch
    lr: float


DIMS = {
    # As many steps as a phase of the embedded default has, so that features are computed again
    # in as many epochs.
    "tiny": Dims(train_data.write_tiny, steps=288, frames=1200, lr=1e-3),
    "true": Dims(train_data.write_true, steps=3, frames=4000, lr=1e-5),
}


def main() -> None:
    """Measure the phases asked for; one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dims", choices=DIMS, default="tiny")
    parser.add_argument("--phases", nargs="+", choices=FROZEN, default=list(FROZEN))
    parser.add_argument("--steps", type=int, help="measured ones; 288 tiny, 3 true")
    parser.add_argument(
        "--precisions", nargs="+", choices=("float32", "bf16"), default=["float32"],
        help="bf16: autocast; FunASR's has it on CUDA alone, with the llm's weights in bf16 too",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--work", type=Path, help="folder to use and keep; default: a temporary one"
    )
    options = parser.parse_args()
    if "bf16" in options.precisions and not torch.cuda.is_available():
        parser.error("bf16 needs a CUDA device")
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    dims = DIMS[options.dims]
    steps = options.steps or dims.steps
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.work or Path(temporary)).resolve()
        if not (folder / "funasr").exists():  # the last that is written
            folder.mkdir(exist_ok=True)
            # In a process of its own, which gives the memory of a model back.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                pool.submit(dims.write, folder).result()
        print(f"{options.dims}: {steps} steps, threads {options.threads}")
        for name, precision in itertools.product(options.phases, options.precisions):
            compare(Run(folder, name, dims, steps, options.threads, precision))


@dataclass(frozen=True)
class Run:
    """What both sides are to do."""

    folder: Path
    phase: str
    dims: Dims
    steps: int
    threads: int
    precision: str


def compare(wanted: Run) -> None:
    """Train one phase on both sides; prints each as it is done, and then the ratios."""
    folder, steps, dims = wanted.folder, wanted.steps, wanted.dims
    own_cost, own_output = run(
        "benchmarks.train_ours", str(folder), "--frozen", *FROZEN[wanted.phase],
        "--steps", str(steps), "--frames", str(dims.frames), "--lr", str(dims.lr),
        "--threads", str(wanted.threads), "--precision", wanted.precision,
    )  # fmt: skip
    ours = json.loads(own_output.splitlines()[-1])
    batches = json.loads((folder / BATCHES).read_text())[1:]
    duration_s = pd.read_parquet(folder / "rows.parquet").set_index("id")["duration_s"]
    count, audio_s = sum(map(len, batches)), sum(duration_s[batch].sum() for batch in batches)
    tokens = ", ".join(f"{count:.1f} {kind}" for kind, count in ours["tokens"].items())
    print(
        f"{wanted.phase:8} {wanted.precision}, {count / steps:.1f} utterances per batch of "
        f"{audio_s / count:.2f} s, tokens of each {tokens}"
    )
    print(f"  ours   {speed(own_cost, ours, audio_s)}", flush=True)
    their_cost, their_output = run("funasr.bin.train_ds", *funasr_words(wanted))
    theirs = json.loads(their_output.splitlines()[-1])
    pairs = list(zip(ours["losses"], theirs["losses"], strict=True))[:COMPARED]
    apart = [abs(first - second) / second for first, second in pairs]
    print(f"  funasr {speed(their_cost, theirs, audio_s)}")
    print(
        f"  ratio {their_cost.cpu_s / own_cost.cpu_s:.2f} in CPU time, "
        f"{theirs['wall_s'] / ours['wall_s']:.2f} in wall time; loss {theirs['losses'][0]:.3f} "
        f"to {theirs['losses'][-1]:.3f}, {apart[0]:.1e} apart in the first step, at most "
        f"{max(apart):.1e} in {len(pairs)}",
        flush=True,
    )


def funasr_words(wanted: Run) -> list[str]:
    """The arguments of FunASR's trainer that make it do what our phase does."""
    folder = wanted.folder
    common = load(CommonParams, "train.common")
    utterances = folder / "funasr" / "utterances.jsonl"
    settings: dict[str, object] = {
        "model": folder / "model",
        "trust_remote_code": True,
        "remote_code": PLUGIN,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "ncpu": wanted.threads,
        "disable_update": True,
        "output_dir": folder / "theirs",
        "train_data_set_list": utterances,
        "valid_data_set_list": utterances,
        "dataset": "FunASR",
        "dataset_conf.index_ds": "FunASR",
        "dataset_conf.batch_sampler": "RecordedBatches",
        "dataset_conf.batches": folder / BATCHES,
        "dataset_conf.steps": wanted.steps,
        "dataset_conf.batch_type": "example",  # no batch loses its last utterances
        "dataset_conf.retry": 1,  # no utterance is replaced by another one
        "dataset_conf.prompt_classes": "null",
        "frontend_conf.dither": 0.0,
        # Its autocast leaves a language model in float32 alone.
        "llm_conf.llm_dtype": "bf16" if wanted.precision == "bf16" else "fp32",
        "enable_tf32": False,
        "optim": "adamw",
        "optim_conf.lr": wanted.dims.lr,
        "optim_conf.betas": "[{},{}]".format(*common.adam_betas),
        "optim_conf.weight_decay": common.weight_decay,
        "optim_conf.fused": True,  # as ours
        "scheduler": "steplr",
        "scheduler_conf.step_size": NEVER,  # constant
        "train_conf.max_epoch": 1,
        "train_conf.use_bf16": wanted.precision == "bf16",
        "train_conf.grad_clip": common.max_grad_norm,
        "train_conf.log_interval": common.log_steps,
        "train_conf.validate_interval": NEVER,
        "train_conf.save_checkpoint_interval": NEVER,
    }  # fmt: skip
    for part, section in SECTIONS.items():
        settings[f"{section}.freeze"] = part in FROZEN[wanted.phase]
    hydra = [f"hydra.run.dir={folder / 'hydra'}", "hydra/job_logging=disabled"]
    return [*hydra, *(f"++{key}={value}" for key, value in settings.items())]


def run(module: str, *arguments: str) -> tuple[measure.Cost, str]:
    """Run a side, which ends with `end_after`; mapped weights are no part of its memory."""
    return measure.command(sys.executable, "-m", module, *arguments, memory=measure.private)


def speed(cost: measure.Cost, steps: dict[str, Any], audio_s: float) -> str:
    """Speed and memory of one side."""
    gpu = f"; GPU {steps['gpu_mb']:.0f} MB" if steps["gpu_mb"] else ""
    return (
        f"{audio_s / cost.cpu_s:7.2f} s of audio per CPU s, {audio_s / steps['wall_s']:7.2f} "
        f"per s; peak {steps['peak_mb']:6.0f} MB, {cost.peak_mb:6.0f} MB with the start{gpu}"
    )


if __name__ == "__main__":
    main()
