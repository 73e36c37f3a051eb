"""Training in several processes, which `accelerate launch` starts.

The stage itself stays one process: it holds the lock on the unfinished work, waits for
the others and takes over what they wrote. The others end when it does.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.commands.config.config_args import load_config_from_file

from galgame_asr.core.files import remove
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, MachineParams
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import (
    ConfigError,
    DataError,
    GalgameAsrError,
    OutOfMemoryError,
)
from galgame_asr.training.stopping import REQUEST, SIGNALS

STAGE_PID = "GALGAME_ASR_STAGE_PID"  # the process that the launched ones end with
TASK, ERROR = "task.pickle", "error.pickle"


def needed(params: MachineParams) -> bool:
    """Whether a phase trains in processes of their own."""
    return params.processes > 1 or bool(params.accelerate)


def run(
    module: str, inputs: Any, params: ComputeParams, machine: MachineParams, directory: Path
) -> None:
    """Run `python -m MODULE DIRECTORY` in as many processes as the params say.

    They find `inputs` with `task`. A SIGTERM or Ctrl+C becomes the request to stop in
    `directory`, and they save a state before they end. Where one has no room on its GPU, all
    start again, with smaller micro-batches.

    Raises:
        ConfigError: accelerate does not know a key of its configuration.
        GalgameAsrError: what the first process that failed raised.
        DataError: a process ended without saying why.
    """
    (directory / TASK).write_bytes(pickle.dumps(inputs))
    while True:
        try:
            _run(module, params, machine, directory)
            return
        except OutOfMemoryError as error:
            log.warning("%s: starting the processes again", error)


def _run(module: str, params: ComputeParams, machine: MachineParams, directory: Path) -> None:
    remove(directory / ERROR)
    command = [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(_configuration(machine, directory)),
        "--module", module, str(directory),
    ]  # fmt: skip
    if machine.accelerate.get("num_machines", 1) > 1:
        log.info("on each other machine run: %s --machine_rank N", " ".join(command))
    log.info("launching %d processes", machine.processes)
    with _signals_as_request(directory):
        status = subprocess.run(
            command,
            env=os.environ | {STAGE_PID: str(os.getpid()), "OMP_NUM_THREADS": _threads(params)},
            check=False,
            # A signal to this process's group must not end the others before they have saved.
            start_new_session=True,
        ).returncode
    if (directory / ERROR).exists():
        error: GalgameAsrError = pickle.loads((directory / ERROR).read_bytes())
        raise error
    if status:
        raise DataError(
            f"a training process ended with status {status}; its last lines above say why. "
            "The next run goes on from the last saved state"
        )


def task(directory: Path) -> Any:
    """The inputs that `run` left for the processes it launched."""
    return pickle.loads((directory / TASK).read_bytes())


def fail(directory: Path, error: GalgameAsrError) -> None:
    """Let `run` raise an error of this process; the first one wins."""
    try:
        with (directory / ERROR).open("xb") as stream:
            pickle.dump(error, stream)
    except FileExistsError:
        pass


def _configuration(params: MachineParams, directory: Path) -> Path:
    machines = params.accelerate.get("num_machines", 1)
    values = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "MULTI_GPU",
        "num_processes": params.processes * machines,
        "main_process_port": 0,  # any that is free
        "mixed_precision": "no",  # the trainer sets it up
        **params.accelerate,
    }
    file = directory / "accelerate.json"
    file.write_text(json.dumps(values))
    try:
        load_config_from_file(str(file))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"machine.accelerate: {error}") from None
    return file


def _threads(params: ComputeParams) -> str:
    on_gpu = compute.device(params).type == "cuda"
    return str(params.cpu_threads or (1 if on_gpu else torch.get_num_threads()))


@contextmanager
def _signals_as_request(directory: Path) -> Iterator[None]:
    def ask(*_: object) -> None:
        (directory / REQUEST).touch()

    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
