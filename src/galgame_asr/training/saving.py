"""What a phase keeps: states to go on from, and model directories."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from galgame_asr.families.common import defaults
from galgame_asr.families.common.family import Family
from galgame_asr.families.common.params import Prompt
from galgame_asr.training import states
from galgame_asr.training.history import History

# Of a saved state.
LEARNED, OPTIMIZER, HISTORY, SHARDED = "learned.pt", "optimizer.pt", "history.json", "sharded"


class Saving:
    """Writes and reads below a phase's directory. All processes call it together.

    Args:
        family: of the model, whose parts are set to learn.
        directory: of the unfinished work.
        prompts: that the phase teaches.
        accelerator: of this process.
        prepared: the model and the optimizer as accelerate prepared them, and what scales losses.
        sharded: whether each process holds a part of the model.
    """

    def __init__(
        self,
        family: Family,
        directory: Path,
        prompts: Sequence[Prompt],
        accelerator: Accelerator,
        prepared: tuple[nn.Module, torch.optim.Optimizer, torch.amp.GradScaler],
        *,
        sharded: bool,
    ) -> None:
        self.family, self.directory, self.accelerator = family, directory, accelerator
        self.defaults = replace(family.defaults, prompts=tuple(prompts))
        self.model, self.optimizer, self.scaler = prepared
        self.sharded = sharded
        self.learning = {n for n, p in family.model.named_parameters() if p.requires_grad}
        self.saved_at = time.monotonic()

    def export(self, name: str) -> None:
        """Save the present weights as a complete model directory, with the phase's prompts."""
        tensors = (
            self.accelerator.get_state_dict(self.model)
            if self.sharded
            else self.family.model.state_dict()
        )
        if self.accelerator.is_main_process:
            with states.writing(self.directory / name) as directory:
                self.family.save(directory, tensors)
                defaults.write(directory, self.defaults)

    def save(self, history: History, best: str) -> None:
        """Save a state, which takes the place of the one before, as `best` does of other models."""
        if self.sharded:
            self.accelerator.save_state(str(self.directory / f".{SHARDED}.tmp"))
        if self.accelerator.is_main_process:
            state = self.write(history)
            states.remove_others(self.directory, state.name, best)
        self.accelerator.wait_for_everyone()
        self.saved_at = time.monotonic()

    def write(self, history: History) -> Path:
        """Write a state by this process alone, and leave others as they are."""
        state = states.path(self.directory, history.step)
        with states.writing(state) as directory:
            if self.sharded:
                (self.directory / f".{SHARDED}.tmp").rename(directory / SHARDED)
            else:
                tensors = self.family.model.state_dict()
                learned = {name: tensors[name] for name in sorted(self.learning)}
                torch.save(learned, directory / LEARNED)
                rest = {
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                }
                torch.save(rest, directory / OPTIMIZER)
            history.write(directory / HISTORY)
        return state

    def resume(self, state: Path | None, device: torch.device) -> History:
        """Take over what a state holds, if there is one."""
        if not state:
            return History()
        if self.sharded:
            self.accelerator.load_state(str(state / SHARDED))
        else:
            learned = torch.load(state / LEARNED, map_location="cpu", weights_only=True)
            assert learned.keys() == self.learning, f"{state} is of another phase"
            self.family.model.load_state_dict(learned, strict=False)
            rest = torch.load(state / OPTIMIZER, map_location=device, weights_only=True)
            self.optimizer.load_state_dict(rest["optimizer"])
            self.scaler.load_state_dict(rest["scaler"])
        return History.read(state / HISTORY)
