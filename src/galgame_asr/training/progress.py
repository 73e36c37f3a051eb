"""What a training phase shows and notes about its speed; nothing here is part of the result."""

import time
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback

from galgame_asr.messages.console import Progress, log


class ProgressCallback(TrainerCallback):
    """Progress with ETA, dev losses, and speed.tsv (step, seconds, audio seconds per second)."""

    def __init__(self, num_steps: int, logs: Path) -> None:
        self.num_steps, self.file = num_steps, logs / "speed.tsv"
        self._note = ""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the bar where the run starts or resumes."""
        done = state.global_step
        self._bar = Progress("train", total=self.num_steps, unit="steps", done=done).__enter__()
        self._since = time.monotonic()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        if state.global_step == 0:
            self.file.write_text("step\ttime\taudio_s_per_s\n")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the bar."""
        self._bar.update(1, self._note)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note the speed since the last row."""
        logs: dict[str, float] = kwargs["logs"]
        if "eval_loss" in logs:
            log.info("step %d: dev loss %.4f", state.global_step, logs["eval_loss"])
        if "audio_s" in logs:
            now = time.monotonic()
            speed = logs["audio_s"] / (now - self._since)
            self._since = now
            self._note = f"loss {logs['loss']:.3f}, {speed:.0f} audio s/s"
            with self.file.open("a") as stream:
                stream.write(f"{state.global_step}\t{time.time():.1f}\t{speed:.2f}\n")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        self._bar.__exit__(None, None, None)


def tensorboard_callback(logs: Path) -> TensorBoardCallback:
    """The Trainer's own TensorBoard callback, writing to `logs`."""
    return TensorBoardCallback(SummaryWriter(str(logs)))  # type: ignore[no-untyped-call]
