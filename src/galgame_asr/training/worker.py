"""One of the processes that train a phase together; `launch.run` starts them.

accelerate launch ... -m galgame_asr.training.worker DIRECTORY
"""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from galgame_asr.core import processes
from galgame_asr.families.common import compute
from galgame_asr.messages.console import log, run
from galgame_asr.messages.errors import GalgameAsrError
from galgame_asr.training import launch
from galgame_asr.training.phase import PhaseInputs, train_here


def main(arguments: Sequence[str]) -> None:
    """Train the phase whose unfinished work lies in the directory named."""
    directory = Path(arguments[0])
    if os.environ.get("RANK", "0") != "0":
        log.setLevel(logging.WARNING)  # all would say the same
    if stage := os.environ.get(launch.STAGE_PID):
        processes.end_with(int(stage))
    inputs: PhaseInputs = launch.task(directory)
    compute.set_up(inputs.compute)
    try:
        train_here(inputs, directory)
    except GalgameAsrError as error:
        launch.fail(directory, error)
        if error.exit_status == 1:
            raise
        sys.exit(0)  # a stop that was asked for is no failure of this process


if __name__ == "__main__":
    run(main)
