"""`make rehearsal`: a run in small, with what each stage took and what the whole will take.

python -m galgame_asr.planning.rehearsal PROFILE...
"""

import argparse
import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch

from galgame_asr.core import utterances
from galgame_asr.core.params import PARAMS_FILE, parse, read_params, read_yaml
from galgame_asr.core.paths import EXCLUSIONS, LOGS, MODELS, RAW, SPLIT, scratch_root
from galgame_asr.experiment import profile, rehearsal
from galgame_asr.experiment.params import Params
from galgame_asr.families.common import compute
from galgame_asr.manifests import corrections
from galgame_asr.messages.console import clock, run
from galgame_asr.messages.errors import ConfigError, GalgameAsrError
from galgame_asr.planning import disk, show
from galgame_asr.planning.plan import Data, Planner, Speech, model_directory
from galgame_asr.planning.published import GB
from galgame_asr.planning.record import Ran, Record
from galgame_asr.scoring import groups

SECONDS_BETWEEN_SAMPLES = 0.5
GIVEN_BACK_BYTES = 4 * 2**20  # allocations from this size on are no part of the heap
LOCK = "dvc.lock"
RECORD = LOGS / "rehearsal.json"  # of what its stages took
FULL = "full.yaml"  # the profile's own params, beside those of its rehearsal


def main(names: Sequence[str]) -> None:
    """Rehearse profiles in a copy of this repository, and print what it took.

    What is not committed comes along. A rehearsal that was stopped goes on, and its table is whole.

    Raises:
        ConfigError: no profile is named, or as for `profile.apply`.
        RehearsalError: a stage failed or was stopped; what ran before it is printed.
    """
    if not names:
        raise ConfigError(
            "which profile? make rehearsal PROFILE=galgame, or PROFILE='galgame mixed'"
        )
    place = scratch_root().resolve() / "rehearsal" / "-".join(names)
    copy(place)
    said: list[str] = []
    with contextlib.chdir(place):
        shutil.copy(PARAMS_FILE, FULL)
        profile.apply(names, file=Path(FULL))
        profile.apply(names, change=lambda values: said.append(rehearsal.rehearse(values)))
    print(f"Rehearsal of {' and '.join(names)} in {place}: {said[0]}", flush=True)
    record, status = repro(place)
    print(table(record.stages, place))
    if status:
        stage = record.running.stage if record.running else "DVC"
        if record.is_stopped:
            raise RehearsalError(f"{stage} was stopped; say the same again, and it goes on")
        raise RehearsalError(f"{stage} failed, see above; mend it and say the same again")
    with contextlib.chdir(place):
        print(beside(record.stages))
        speeds = _speeds()
    full(place, speeds)
    print("\nThe corpora, their downloads and what the checks find in them were not rehearsed.")
    print(f"\n`rm -r {place}` makes room again.")


class RehearsalError(GalgameAsrError):
    """A stage of a rehearsal failed, or was stopped."""


def copy(place: Path) -> None:
    """Make a clone of this repository with what is changed and new in its working tree.

    Lists of ids stay behind: rendered corpora have other ids.
    """
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        _git("clone", "--quiet", "--local", ".", str(place))
    else:
        with contextlib.chdir(place):
            _git("fetch", "--quiet", "origin", "HEAD")
            # But for what the stages wrote that ran.
            _git("checkout", "--quiet", "FETCH_HEAD", "--", ".", ":!metrics", f":!{LOCK}")
    for name in _git("ls-files", "-z", "--modified", "--others", "--exclude-standard").split("\0"):
        if not name.startswith(("metrics/", LOCK)) and Path(name).is_file():
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, target)
    for folder in (corrections.FOLDER, EXCLUSIONS, groups.FOLDER):
        for file in (place / folder).glob("*.tsv"):
            file.unlink()


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, text=True, stdout=subprocess.PIPE).stdout


def repro(place: Path) -> tuple[Record, int]:
    """Run DVC there, showing what it says; what each stage took, and DVC's exit status."""
    environment = {**os.environ, "PYTHONPATH": "src", "PYTHONUNBUFFERED": "1"}
    environment.pop("GALGAME_ASR_SCRATCH", None)
    # On a CPU glibc keeps what large tensors leave in pieces: a step of one utterance of Whisper
    # large-v3-turbo takes 22 GB, and 11 where they are given back.
    environment.setdefault("MALLOC_MMAP_THRESHOLD_", str(GIVEN_BACK_BYTES))
    record = Record(place / RECORD)
    for module in ("experiment.links", "experiment.params"):
        command = [sys.executable, "-m", f"galgame_asr.{module}"]
        if status := subprocess.run(command, cwd=place, env=environment, check=False).returncode:
            return record, status
    with (
        subprocess.Popen(
            ["dvc", "repro"], cwd=place, env=environment, text=True, stdout=subprocess.PIPE
        ) as dvc,
        _watching(dvc, record),
    ):
        assert dvc.stdout
        # A phase saves a state and ends, and with it DVC; alone, DVC would go on.
        signal.signal(signal.SIGTERM, lambda *_: _stop(dvc.pid, record))
        try:
            for line in dvc.stdout:
                print(line, end="", flush=True)
                record.hear(line)
        except KeyboardInterrupt:
            record.is_stopped = True
            dvc.send_signal(signal.SIGINT)
    record.end(is_over=not dvc.returncode)
    return record, dvc.returncode


def _stop(pid: int, record: Record) -> None:
    """Stop what DVC has started."""
    record.is_stopped = True
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children():
            process.terminate()


@contextlib.contextmanager
def _watching(dvc: "subprocess.Popen[str]", record: Record) -> Iterator[None]:
    """Note the memory of the stage that runs."""
    over = threading.Event()

    def watch() -> None:
        took = 0.0
        # Of many gigabytes, the system counts the pages for a tenth of a second, and stops them.
        while not over.wait(max(SECONDS_BETWEEN_SAMPLES, 50 * took)):
            began = time.monotonic()
            record.sample(_memory(dvc.pid), _gpu_memory())
            took = time.monotonic() - began

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _memory(pid: int) -> int:
    """Bytes of what DVC has started, without DVC; what processes share counts once."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_full_info().pss
    return total


def _gpu_memory() -> int:
    """Bytes in use on all cards, by whomever."""
    if not torch.cuda.is_available():
        return 0
    # torch itself would take room there to say it.
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    found = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=False).stdout
    return sum(int(line) * 2**20 for line in found.split() if line.isdigit())


def table(ran: Sequence[Ran], place: Path) -> str:
    """What each stage took: time, peak of memory, and disk for what it made."""
    disk = _sizes(place / LOCK)
    gpu = any(stage.gpu_bytes for stage in ran)
    rows = [f"{'stage':40} {'time':>8} {'memory GB':>10}" + f" {'GPU GB':>7}" * gpu + "  disk GB"]
    total = Ran("all")
    for stage in ran:
        rows.append(_row(stage, disk.get(stage.stage, 0), gpu=gpu))
        total.seconds += stage.seconds
        total.peak_bytes = max(total.peak_bytes, stage.peak_bytes)
        total.gpu_bytes = max(total.gpu_bytes, stage.gpu_bytes)
    rows.append(_row(total, sum(disk.get(stage.stage, 0) for stage in ran), gpu=gpu))
    return "\nWhat the rehearsal took\n" + "\n".join(rows) + "\n"


def _row(ran: Ran, disk_bytes: int, *, gpu: bool) -> str:
    on_gpu = f" {ran.gpu_bytes / GB:7.2f}" if gpu else ""
    memory, disk = ran.peak_bytes / GB, disk_bytes / GB
    return f"{ran.stage:40} {clock(ran.seconds):>8} {memory:10.2f}{on_gpu} {disk:8.2f}"


def _sizes(lock: Path, below: Path = Path()) -> dict[str, int]:
    """Bytes of the outputs of each stage, in a folder."""
    if not lock.exists():
        return {}
    stages: dict[str, Any] = read_yaml(lock)["stages"]
    return {
        name: sum(
            out.get("size", 0)
            for out in stage.get("outs", [])
            if Path(out["path"]).is_relative_to(below)
        )
        for name, stage in stages.items()
    }


def beside(ran: Sequence[Ran]) -> str:
    """Memory of each phase, and disk of all models: as a plan of the rehearsal says, and as had."""
    params = parse(Params, read_params(), "")
    found = {stage.stage: stage for stage in ran}
    data = Data(params.corpora, SPLIT)
    frames = params.machine.micro_batch_frames
    precision = compute.precision(params.compute, compute.device(params.compute))
    rows = [f"{'phase':12} {'predicted GB':>13} {'measured GB':>12}"]
    plans = []
    with model_directory(params.base, params.model.family, MODELS / "base") as directory:
        planner = Planner(params.model.family, directory, _speech(), precision)
        for name, phase in params.train.phases.items():
            if stage := found.get(f"train@{name}"):
                common = params.train.common
                largest = planner.step_frames(common.batch_frames, 1)
                at_once = largest if frames == "auto" else min(frames, largest)
                plans.append(planner.plan(name, phase, common, at_once, data))
                predicted = plans[-1].memory.peak
                measured = stage.gpu_bytes or stage.peak_bytes
                rows.append(f"{name:12} {predicted / GB:13.3f} {measured / GB:12.2f}")
        parts = disk.uses(params, plans, planner.checkpoint_bytes, planner.parameters, RAW)
    rows.append(
        "Predicted: the largest step. Measured: the GPU's in use, or all of a process without one."
    )
    (models,) = [part.size_bytes for part in parts if part.folder == MODELS.name]
    sizes = _sizes(Path(LOCK), below=MODELS)
    made = sum(sizes.get(stage, 0) for stage in found) / GB
    rows.append(f"Disk of {MODELS}: {models / GB:.3g} GB predicted, {made:.3g} measured.")
    return "Memory of the phases of the rehearsal\n" + "\n".join(rows) + "\n"


def full(place: Path, speeds: Mapping[str, float]) -> None:
    """Print the plan of the whole run, at the speed of the rehearsal or, on a GPU, measured now."""
    file = place / FULL
    params = parse(Params, read_params(file), "", file=file)
    device = compute.device(params.compute)
    on_gpu = device.type == "cuda"
    options = argparse.Namespace(
        precision=compute.precision(params.compute, device), utterance_s=None, text_tokens=None,
        micro_batch_frames=None, processes=None, hours=0.0, speed=None, phase=None, measure=on_gpu,
    )  # fmt: skip
    print(f"The whole run, on {device}:\n")
    show.show(options, file, place / MODELS / "base", {} if on_gpu else speeds)


def _speeds() -> dict[str, float]:
    """Seconds of speech per second of each phase, as rehearsed."""
    params = parse(Params, read_params(), "")
    module = importlib.import_module(f"galgame_asr.planning.{params.model.family}")
    # Where all is padded to a window, a long utterance takes no longer than a short one.
    factor = show.UTTERANCE_S / _speech().duration_s if module.Planned.window_s else 1.0
    return {
        name: factor * float(pd.read_csv(file, sep="\t")["audio_s_per_s"].median())
        for name in params.train.phases
        if (file := LOGS / name / "speed.tsv").exists()
    }


def _speech() -> Speech:
    """What an average rendered utterance is like; most characters are a token."""
    rows = utterances.read(SPLIT / "train.parquet")
    return Speech(rows["duration_s"].mean(), round(rows["text"].str.len().mean()))


if __name__ == "__main__":
    run(main)
