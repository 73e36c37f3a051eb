"""The training loop of one phase: a plain loop over accelerate.

A step holds the same utterances on any machine, and its loss is the mean over all their label
tokens. How it is divided among micro-batches and processes changes rounding and which numbers
dropout draws, nothing else. What is drawn at random depends on seed, step and micro-batch alone,
so that no random state is saved.
"""

import gc
import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, gather_object

from galgame_asr.core.files import write_text
from galgame_asr.core.reader import ShardReader
from galgame_asr.families.common import compute
from galgame_asr.families.common.batching import FRAMES_PER_S, num_frames, window_frames
from galgame_asr.families.common.compute import Precision
from galgame_asr.families.common.family import Family
from galgame_asr.families.common.params import MachineParams
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import (
    ConfigError,
    DataError,
    InterruptionError,
    OutOfMemoryError,
)
from galgame_asr.training import dev_cer, states
from galgame_asr.training import optimizer as optimizers
from galgame_asr.training.batches import Division, Pick, Steps
from galgame_asr.training.dataset import (
    MicroBatch,
    Share,
    Shares,
    Utterances,
    read_ahead,
    refuse_long,
    refuse_silence,
)
from galgame_asr.training.encoder_cache import encoder_cache
from galgame_asr.training.freezing import prepare
from galgame_asr.training.history import History
from galgame_asr.training.params import CommonParams, TrainingParams
from galgame_asr.training.progress import Watch
from galgame_asr.training.saving import HISTORY, Saving
from galgame_asr.training.stopping import Stopping

FITS = "micro_batch_frames"  # largest micro-batch that the GPU had room for


@dataclass(frozen=True)
class Phase:
    """All that one phase of training needs."""

    family: Family
    common: CommonParams
    machine: MachineParams
    params: TrainingParams
    train_rows: pd.DataFrame
    dev_rows: pd.DataFrame
    reader: ShardReader
    checkpoints: tuple[int, ...]  # percents
    device: torch.device
    precision: Precision
    directory: Path  # unfinished work
    logs: Path  # timings, for people; not part of the result
    every_steps: int | None = None  # checkpoints besides
    noise_rows: pd.DataFrame | None = None  # clips for augment.noise


def train(phase: Phase) -> None:
    """Train one phase, going on where an interrupted run of it stopped.

    Writes `phase.directory`/pNN/ and sN/ (complete model directories), log.tsv, dev.tsv and
    left_out.tsv.

    Raises:
        ConfigError: the freeze flags or learning rates do not fit the model.
        DataError: there is nothing to train on, utterances are longer than the model hears,
            too many cannot be used, or the loss is not finite.
        InterruptionError: it was asked to stop; the next run goes on from the state just saved.
        OutOfMemoryError: one of several processes has no room; start them again.
    """
    finished = phase.directory / HISTORY
    if finished.exists():
        return
    if phase.train_rows.empty or phase.dev_rows.empty:
        raise DataError(
            f"mix {phase.params.mix} selects {len(phase.train_rows)} training and "
            f"{len(phase.dev_rows)} dev utterances; both are needed"
        )
    refuse_long(phase.family, phase.params, phase.train_rows, phase.dev_rows)
    refuse_silence(phase.family, phase.params, phase.train_rows)
    prepare(phase.family, phase.params, phase.common)
    trainer = Trainer(phase)
    history = trainer.run()
    if trainer.is_main:
        history.write_tables(phase.directory)
        history.write(finished)


class Trainer:
    """Trains a `Phase`, in one process or as one of several that `accelerate launch` started."""

    def __init__(self, phase: Phase) -> None:
        self.phase, self.family = phase, phase.family
        common, params = phase.common, phase.params
        self.accelerator = Accelerator(cpu=phase.device.type == "cpu", mixed_precision="no")
        self.processes: int = self.accelerator.num_processes
        self.process: int = self.accelerator.process_index
        self.sharded = self.accelerator.distributed_type in (
            DistributedType.FSDP, DistributedType.DEEPSPEED,
        )  # fmt: skip
        _refuse(phase, self.accelerator.distributed_type, sharded=self.sharded)
        self.scaler = torch.amp.GradScaler(phase.device.type, enabled=phase.precision == "fp16")
        self.examples = Utterances(
            phase.train_rows, self.family, phase.reader, prompts=params.prompts,
            cache_bytes=phase.machine.feature_cache_mb * 1_000_000, augment=params.augment,
            noise=phase.noise_rows, seed=common.seed,
        )  # fmt: skip
        self.dev_examples = Utterances(
            phase.dev_rows, self.family, phase.reader, prompts=params.prompts[-1:],
            cache_bytes=phase.machine.feature_cache_mb * 1_000_000,
        )  # fmt: skip
        speeds = params.augment.speeds if params.augment else (1.0,)
        self.steps = _steps(phase.train_rows, common, epochs=params.epochs, speeds=speeds)
        self.dev_steps = _steps(phase.dev_rows, common)
        self.exports = _at(len(self.steps), phase.checkpoints)
        by_step = (
            range(phase.every_steps, len(self.steps) + 1, phase.every_steps)
            if phase.every_steps
            else ()
        )
        early = params.early_stopping
        every = range(early.every, 100, early.every) if early else ()
        self.scored = {*self.exports, *by_step, *_at(len(self.steps), every)}
        self.encoder_cache = encoder_cache(self.family, phase.params, phase.machine)
        self.model, self.optimizer = self.accelerator.prepare(
            self.family.model, optimizers.make(self.family.model, self.family.parts, params, common)
        )
        # Collected once: it takes 4 % of a step on a fast GPU.
        self.learning = [p for p in self.model.parameters() if p.requires_grad]
        self.saving = Saving(
            self.family, phase.directory, params.prompts, self.accelerator,
            (self.model, self.optimizer, self.scaler), sharded=self.sharded,
        )  # fmt: skip
        self.division = self._division()
        self.history = History()
        self._losses: list[torch.Tensor] = []  # of steps that the history does not have yet
        self._left_out: dict[str, str] = {}  # found by this process since the last row

    @property
    def is_main(self) -> bool:
        """Whether this process writes the results."""
        return bool(self.accelerator.is_main_process)

    @property
    def is_over(self) -> bool:
        """Whether the last step is done, or the dev loss no longer falls."""
        early = self.phase.params.early_stopping
        stopped = early is not None and self.history.has_stopped(early.patience, early.by)
        return stopped or self.history.step == len(self.steps)

    def run(self) -> History:
        """Train to the end, going on where an interrupted run stopped.

        Raises:
            GalgameAsrError: as for `train`.
        """
        state = states.newest(self.phase.directory)
        log.info("resuming at %s" if state else "starting%s", state or "")
        self.history = self.saving.resume(state, self.phase.device)
        with (
            Stopping(self.phase.directory) as self.stopping,
            self._make_watch() as self.watch,
        ):
            self._score_if_due()  # one of several processes that had no room for it ended before
            while not self.is_over:
                division = self.division
                for share in self._shares(self.examples, self.steps.since(self.history.step)):
                    self._step(share, self._agree(share))
                    if self.is_over or self.division is not division:
                        break
        return self.history

    def _make_watch(self) -> "AbstractContextManager[Watch | None]":
        """What the main process shows."""
        if not self.is_main:
            return nullcontext()
        tensorboard = self.phase.machine.tensorboard
        return Watch(len(self.steps), self.history.step, self.phase.logs, tensorboard=tensorboard)

    def _agree(self, share: Share) -> int:
        """Label tokens of a step in all processes, which save a state if one has to.

        Raises:
            InterruptionError: one was asked to stop.
        """
        due = time.monotonic() - self.saving.saved_at >= 60 * self.phase.machine.save_minutes
        labels, stop, save = float(share.num_labels), float(self.stopping.asked), float(due)
        if self.processes > 1:
            labels, stop, save, *losses = self._sum(
                [labels, stop, save if self.is_main else 0.0, *self._losses]
            )
            self.history.losses += losses
            self._losses.clear()
        if (stop or save) and self.history.step:
            self._collect()
            early = self.phase.params.early_stopping
            best = self.history.best_step(early.by) if early and self.history.dev else 0
            self.saving.save(self.history, f"best-{best}")
        if stop:
            raise InterruptionError(
                f"stopped by a signal after step {self.history.step}; `dvc repro` goes on"
            )
        return int(labels)

    def _step(self, share: Share, labels: int) -> None:
        """Learn from a step, and note and score what is due after it.

        If the GPU has no room, the division is another one, and the step was not done.
        """
        self._left_out |= share.left_out
        before, lr, norm = self.history.step, 0.0, torch.zeros(())
        with self._smaller_if_out_of_memory():
            if labels:
                lr, norm = self._learn(share, labels)
            self.history.step += 1
        if self.history.step == before:
            return
        if self.watch:
            self.watch.step()
        if self.history.step % self.phase.common.log_steps == 0 or self.history.step == len(
            self.steps
        ):
            self._row(lr, float(norm))
        self._score_if_due()

    def _learn(self, share: Share, labels: int) -> tuple[float, torch.Tensor]:
        """Take a step; its highest learning rate, and the norm of its gradient."""
        common = self.phase.common
        factor = optimizers.schedule(common, self.history.step, len(self.steps))
        lr = optimizers.set_rates(self.optimizer, factor)
        if not self.family.model.training:  # it takes 4 % of a step to go through all modules
            self.model.train()
        loss = torch.zeros((), dtype=torch.float64, device=self.phase.device)
        for batch in share.micro_batches:
            last = batch is share.micro_batches[-1]
            self.accelerator.sync_gradients = last
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                part = self._loss(batch) * (batch.num_labels / labels)
                # Processes take the mean of their gradients.
                self.accelerator.backward(self.scaler.scale(part * self.processes))
            loss += part.detach()
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
        norm = self.accelerator.clip_grad_norm_(
            self.model.parameters() if self.sharded else self.learning, common.max_grad_norm
        )
        self._update()
        self._losses.append(loss)
        return lr, norm

    def _loss(self, batch: MicroBatch) -> torch.Tensor:
        """The family's loss; a batch that fails is named by its utterances."""
        inputs = {
            name: value.to(self.phase.device) if isinstance(value, torch.Tensor) else value
            for name, value in batch.inputs.items()
        }
        seeds = [self.phase.common.seed, self.history.step, batch.index]
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0]))
        self._tried = batch
        try:
            with compute.autocast(self.phase.device, self.phase.precision):
                if self.encoder_cache and self.model.training:
                    inputs["encoded"] = self.encoder_cache.encoded(batch.ids, inputs)
                loss: torch.Tensor = self.model(**inputs)["loss"]
        except torch.OutOfMemoryError:
            raise
        except Exception:
            log.error("step %d failed on utterances %s", self.history.step + 1, batch.ids)
            raise
        return loss

    def _update(self) -> None:
        try:
            self.scaler.step(self.optimizer)
        except torch.OutOfMemoryError as error:
            raise DataError(
                "the GPU has no room for the optimizer's state, whatever the batch: freeze more, "
                "use lora, or divide it with FSDP (docs/training.md)"
            ) from error
        self.scaler.update()
        self.optimizer.zero_grad()

    def _row(self, lr: float, norm: float) -> None:
        """Add a row to the log.

        Raises:
            DataError: the loss is not finite, or too many utterances cannot be used.
        """
        self._collect()
        if not self.history.losses:  # nothing of these steps could be used
            return
        first = int(self.history.log[-1]["step"]) if self.history.log else 0
        sizes = self.steps.sizes[first : self.history.step]
        loss = self.history.add_row(
            {
                "epoch": int(sizes[-1, 0]) + 1,
                "lr": lr,
                "grad_norm": norm,
                "audio_s": int(sizes[:, 1].sum()) / FRAMES_PER_S,
            }
        )
        if not math.isfinite(loss):
            raise DataError(
                f"the loss is {loss} around step {self.history.step}; lower the learning rate, "
                "or look at the utterances of the last batches"
            )
        if self.watch:
            self.watch.row(self.history.log[-1])

    def _collect(self) -> None:
        """Bring what all processes found since the last time into the history.

        Raises:
            DataError: too many utterances cannot be used.
        """
        if self._losses:
            self.history.losses += self._sum(self._losses)
            self._losses.clear()
        found = {id_: why for part in gather_object([self._left_out]) for id_, why in part.items()}
        self._left_out = {}
        self.history.leave_out(
            found,
            max_share=self.phase.common.max_left_out,
            of=len(self.phase.train_rows) + len(self.phase.dev_rows),
        )

    def _score_if_due(self) -> None:
        dev = self.history.dev
        if self.history.step in self.scored and not (dev and dev[-1]["step"] == self.history.step):
            with self.watch.pause() if self.watch else nullcontext():
                self._score()

    def _score(self) -> None:
        """Score the dev set, and save the checkpoints that are due at this step."""
        step, early = self.history.step, self.phase.params.early_stopping
        self.history.dev.append({"step": step, "dev_loss": self.dev_loss(), **self._dev_cer()})
        self._collect()
        if self.watch:
            self.watch.dev(self.history.dev[-1])
        if self.phase.every_steps and step % self.phase.every_steps == 0:
            self.saving.export(f"s{step}")
        if not (early and self.is_over):
            for percent in self.exports.get(step, ()):
                self.saving.export(f"p{percent}")
        if early and self.history.best_step(early.by) == step:
            self.saving.export(f"best-{step}")
        if early and self.is_over and self.is_main:
            best_step = self.history.best_step(early.by)
            log.info("step %d: the best %s was at step %d", step, early.by, best_step)
            best = self.phase.directory / f"best-{best_step}"
            late = (p for at, percents in self.exports.items() if at >= step for p in percents)
            for number in {100, *late}:
                with states.writing(self.phase.directory / f"p{number}") as directory:
                    shutil.copytree(best, directory, dirs_exist_ok=True)

    @torch.no_grad()
    def dev_loss(self) -> float:
        """Mean loss over the label tokens of the dev set."""
        self.model.eval()
        while True:
            with self._smaller_if_out_of_memory():
                total, labels = 0.0, 0.0
                for share in self._shares(self.dev_examples, self.dev_steps.since(0)):
                    self._left_out |= share.left_out
                    for batch in share.micro_batches:
                        total += self._loss(batch).item() * batch.num_labels
                        labels += batch.num_labels
                total, labels = self._sum([total, labels])
                return total / labels

    def _dev_cer(self) -> dict[str, float]:
        """The CER of a sample of the dev set, if it is asked for."""
        picks = dev_cer.sample(self.phase.dev_rows, self.phase.common.dev_cer_utterances)
        if not picks:
            return {}
        with compute.autocast(self.phase.device, self.phase.precision):
            counts = dev_cer.count_errors(
                self.family,
                self.dev_examples,
                picks[self.process :: self.processes],
                self.phase.machine.decode_batch_frames,
            )
        errors, characters = self._sum(counts)
        return {"dev_cer": errors / max(characters, 1)}

    def _shares(self, examples: Utterances, steps: Iterable[Sequence[Pick]]) -> Iterator[Share]:
        shares = Shares(examples, self.division, self.process)
        return read_ahead(shares, steps, self.phase.machine.workers)

    def _division(self) -> Division:
        """As the machine's params say, or as an interrupted run found out."""
        file, wanted = self.phase.directory / FITS, self.phase.machine.micro_batch_frames
        budget = None if wanted == "auto" else wanted
        if file.exists():
            budget = min(int(file.read_text()), budget or sys.maxsize)
        return Division(budget, window_frames(self.family.window_s), self.processes)

    @contextmanager
    def _smaller_if_out_of_memory(self) -> Iterator[None]:
        """Halve the micro-batches of a GPU that has no room for one; the step is done again.

        Raises:
            ConfigError: there is no room for one utterance.
            OutOfMemoryError: of several processes, the others wait for this one in vain: they
                must start again, from the state that this one has saved.
        """
        try:
            yield
            return
        except torch.OutOfMemoryError:
            pass  # the error holds what did not fit
        self.optimizer.zero_grad()
        gc.collect()
        torch.cuda.empty_cache()
        if len(self._tried.ids) == 1:
            raise ConfigError(
                f"the GPU has no room for one utterance, {self._tried.ids[0]}; freeze more, use "
                "lora or activation_checkpointing"
            )
        budget = self._tried.frames // 2
        log.warning("out of memory: micro-batches of at most %d frames from now on", budget)
        write_text(self.phase.directory / FITS, str(budget))
        self.division = replace(self.division, budget=budget)
        if self.processes > 1:
            state = states.path(self.phase.directory, self.history.step)
            if self.history.step and not self.sharded and not state.exists():
                with suppress(OSError):  # as another may do the same
                    self.saving.write(self.history)
            raise OutOfMemoryError(f"micro-batches of {self._tried.frames} frames do not fit")

    def _sum(self, values: Sequence[float | torch.Tensor]) -> list[float]:
        """Sums over all processes."""
        own = torch.tensor([float(value) for value in values], dtype=torch.float64)
        if self.processes == 1:
            return own.tolist()
        total: list[float] = self.accelerator.reduce(own.to(self.phase.device)).tolist()
        return total


def _refuse(phase: Phase, kind: DistributedType, *, sharded: bool) -> None:
    """Refuse values that do not go together.

    Raises:
        ConfigError: some do not.
    """
    wanted = phase.machine.accelerate.get("distributed_type")
    if wanted in ("FSDP", "DEEPSPEED") and not sharded:
        raise ConfigError(
            f"machine.accelerate asks for {wanted}, and accelerate runs {kind.value}: it shards on "
            "GPUs alone"
        )
    if sharded and phase.common.dev_cer_utterances:
        raise ConfigError("a sharded model is not decoded: dev_cer_utterances must be 0")
    if sharded and phase.precision == "fp16":
        raise ConfigError("fp16 does not train sharded; set compute.precision to bf16")
    early = phase.params.early_stopping
    if early and early.by == "dev_cer" and not phase.common.dev_cer_utterances:
        raise ConfigError("early_stopping.by is dev_cer: set train.common.dev_cer_utterances")


def _steps(
    rows: pd.DataFrame,
    common: CommonParams,
    *,
    epochs: int = 1,
    speeds: tuple[float, ...] = (1.0,),
) -> Steps:
    frames = num_frames(rows["duration_s"].to_numpy())
    return Steps(frames, common.batch_frames, common.sort_window, epochs, common.seed, speeds)


def _at(num_steps: int, percents: Iterable[int]) -> dict[int, list[int]]:
    """Step -> percents; in a short phase several can be at one."""
    found: dict[int, list[int]] = {}
    for percent in percents:
        found.setdefault(max(round(num_steps * percent / 100), 1), []).append(percent)
    return found
