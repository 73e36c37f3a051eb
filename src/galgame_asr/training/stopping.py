"""Stopping a phase when the machine is taken away: rented ones and Slurm send SIGTERM first."""

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from galgame_asr.messages.console import log

REQUEST = "stop"  # a file that asks all processes of a phase to stop


class StopOnSigterm(TrainerCallback):
    """After a SIGTERM, saves a state at the next row of the log and ends the training.

    Between two rows the loss of the next one is half summed up, which no state
    holds: stopping there would make the resumed log differ from an uninterrupted
    one. `train.common.log_steps` says how many steps that can take. Of several
    processes all stop at the same row: `any_process` tells whether one was asked.
    """

    def __init__(
        self, log_steps: int, directory: Path, any_process: Callable[[bool], bool]
    ) -> None:
        self.log_steps, self.request = log_steps, directory / REQUEST
        self.any_process = any_process
        self.stopped = False
        self._asked = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the signal over."""
        self._before = signal.signal(signal.SIGTERM, self._note)

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        log.info("SIGTERM: saving a state at the next row of the log, then stopping")
        self._asked = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Save and stop, unless the phase ends here anyway."""
        at_row = state.global_step % self.log_steps == 0 and state.global_step < state.max_steps
        if at_row and self.any_process(self._asked or self.request.exists()):
            control.should_save = control.should_training_stop = self.stopped = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Give the signal back."""
        signal.signal(signal.SIGTERM, self._before)
