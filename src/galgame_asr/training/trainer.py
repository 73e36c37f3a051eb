"""The training loop of one phase: transformers.Trainer with this project's data and files.

What the Trainer does: optimizer, schedule, clipping, accumulation, devices,
mixed precision, saving and restoring optimizer and random state. What is added:
batches under a frame budget, frozen parts, checkpoints named by percent, and a
log whose rows do not depend on interruptions. In several processes, each trains on
every n-th batch; all together are one step.
"""

import dataclasses
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME

from galgame_asr.core.files import atomic_directory, atomic_path, write_text
from galgame_asr.core.paths import DEV, LOG
from galgame_asr.core.reader import ShardReader
from galgame_asr.families.common import defaults, lora
from galgame_asr.families.common.batching import (
    FRAMES_PER_S,
    PhaseBatches,
    num_frames,
    window_frames,
)
from galgame_asr.families.common.family import Example, Family
from galgame_asr.families.common.params import MachineParams, Prompt
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import ConfigError, DataError, InterruptionError
from galgame_asr.training.activation_checkpointing import recompute
from galgame_asr.training.dataset import Utterances
from galgame_asr.training.early_stopping import best_step, has_stopped
from galgame_asr.training.encoder_cache import EncoderCache
from galgame_asr.training.freezing import freeze
from galgame_asr.training.params import AugmentParams, CommonParams, TrainingParams
from galgame_asr.training.progress import ProgressCallback, tensorboard_callback
from galgame_asr.training.resume import last_complete, mark_complete, writing
from galgame_asr.training.stopping import StopOnSigterm

STATE_WEIGHTS = "model.pt"
LOG_COLUMNS = ["step", "epoch", "loss", "lr", "grad_norm", "padded_share", "audio_s"]
DEV_COLUMNS = ["step", "dev_loss"]


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
    bf16: bool
    directory: Path  # unfinished work
    logs: Path  # timings, for people; not part of the result


def train(phase: Phase) -> None:
    """Train one phase, going on where an interrupted run of it stopped.

    Writes `phase.directory`/pNN/ (complete model directories), log.tsv and dev.tsv.

    Raises:
        ConfigError: the freeze flags do not fit the model.
        DataError: there is nothing to train on, an utterance cannot be read or is longer
            than the model hears, or the loss is not finite.
        InterruptionError: SIGTERM came; the next run goes on from the state just saved.
    """
    if phase.train_rows.empty or phase.dev_rows.empty:
        raise DataError(
            f"mix {phase.params.mix} selects {len(phase.train_rows)} training and "
            f"{len(phase.dev_rows)} dev utterances; both are needed"
        )
    _refuse_long(phase)
    prepare(phase.family, phase.params, phase.common)
    trainer = PhaseTrainer(phase)
    with trainer.accelerator.main_process_first():  # which removes half-written states
        state = last_complete(phase.directory)
    log.info("resuming at %s" if state else "starting%s", state or "")
    if not trainer.is_done(state):
        trainer.train(resume_from_checkpoint=str(state) if state else None)
    if trainer.stopping.stopped:
        raise InterruptionError(
            f"stopped by SIGTERM at step {trainer.state.global_step}; `dvc repro` goes on"
        )
    if trainer.args.should_save:
        trainer.write_logs(phase.directory)


def prepare(family: Family, params: TrainingParams, common: CommonParams) -> None:
    """Let the parts of a model learn that a phase asks for, and no other.

    Raises:
        ConfigError: freeze flags, adapters or the CTC loss do not fit the model.
    """
    torch.manual_seed(common.seed)  # first weights of a CTC head and of adapters
    if params.ctc_weight:
        family.add_ctc_loss(params.ctc_weight)
    adapted = _adapted(family, params)
    learning = freeze(
        family.model, family.parts, params.freeze, fixed=family.fixed, adapted=adapted
    )
    for part in adapted:
        assert params.lora is not None
        module = family.model.get_submodule(family.parts[part].removesuffix("."))
        lora.add(
            module,
            rank=params.lora.rank,
            alpha=params.lora.alpha,
            dropout=params.lora.dropout,
            targets=params.lora.targets,
            dora=params.lora.dora,
        )
        learning[part] = sum(p.numel() for n, p in module.named_parameters() if ".lora_" in n)
    if common.activation_checkpointing:
        recompute(family.layers)
    total = sum(p.numel() for p in family.model.parameters())
    log.info(
        "learning %s of %.3f M parameters",
        ", ".join(f"{part} {count / 1e6:.3f} M" for part, count in learning.items()), total / 1e6,
    )  # fmt: skip


def _adapted(family: Family, params: TrainingParams) -> Sequence[str]:
    """The parts that adapters learn in."""
    if not params.lora:
        return ()
    if unknown := sorted(set(params.lora.parts or ()) - set(family.parts)):
        raise ConfigError(
            f"lora.parts names {', '.join(unknown)}; parts: {', '.join(family.parts)}"
        )
    frozen = [part for part in family.lora_parts if params.freeze.get(part, True)]
    adapted = params.lora.parts or frozen or family.lora_parts
    for part in adapted:
        if not params.freeze.get(part, True):
            raise ConfigError(
                f"lora learns in a part that is frozen: set freeze.{part} to true, or lora to null"
            )
    return adapted


def _refuse_long(phase: Phase) -> None:
    """Utterances that the model would hear only the beginning of."""
    window_s = phase.family.window_s
    if window_s is None:
        return
    speed = min(phase.params.augment.speeds) if phase.params.augment else 1.0
    for rows, slowest in ((phase.train_rows, speed), (phase.dev_rows, 1.0)):
        # Durations of compressed audio are right to a few samples.
        long = rows[rows["duration_s"] / slowest > window_s + 1 / FRAMES_PER_S]
        if not long.empty:
            raise DataError(
                f"{len(long)} utterances are longer than the {window_s:g} s that the model hears, "
                f"at speed {slowest:g}: {', '.join(long['id'][:3])}; set manifest.max_duration_s "
                f"to at most {window_s * slowest:g} and severity.too_long to drop, or augment "
                "less slowly"
            )


class PhaseTrainer(Trainer):
    """transformers.Trainer for one `Phase`."""

    def __init__(self, phase: Phase) -> None:
        self.phase, self.family = phase, phase.family
        common = phase.common
        self.batches = PhaseBatches(
            frames=num_frames(phase.train_rows["duration_s"].to_numpy()),
            budget=common.batch_frames,
            sort_window=common.sort_window,
            epochs=phase.params.epochs,
            seed=common.seed,
            window=window_frames(self.family.window_s),
            speeds=phase.params.augment.speeds if phase.params.augment else (1.0,),
            processes=int(os.environ.get("WORLD_SIZE", "1")),
            process=int(os.environ.get("RANK", "0")),
        )
        num_steps = math.ceil(len(self.batches) / common.accumulate)
        self.export_steps = _steps(num_steps, phase.checkpoints)
        early = phase.params.early_stopping
        self.dev_steps = set(
            _steps(num_steps, range(early.every, 100, early.every)) if early else ()
        )
        self.examples = self._examples(phase.train_rows, phase.params.prompts, phase.params.augment)
        self.dev_examples = self._examples(phase.dev_rows, phase.params.prompts[-1:])
        self.encoder_cache = self._encoder_cache()
        self.stopping = StopOnSigterm(common.log_steps, phase.directory, self._any_process)
        callbacks: list[TrainerCallback] = [self.stopping]
        if self.batches.process == 0:
            callbacks.append(ProgressCallback(num_steps, phase.logs))
            if phase.machine.tensorboard:
                callbacks.append(tensorboard_callback(phase.logs))
        super().__init__(
            model=self.family.model,
            args=_arguments(phase, num_steps),
            data_collator=self._collate,
            train_dataset=self.examples,
            eval_dataset=self.dev_examples,
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        # The loss is a mean over the batch; without this, the Trainer takes it for a sum.
        self.model_accepts_loss_kwargs = False
        self.learning = {n for n, p in self.family.model.named_parameters() if p.requires_grad}

    def _examples(
        self,
        rows: pd.DataFrame,
        prompts: Sequence[Prompt],
        augment: AugmentParams | None = None,
    ) -> Utterances:
        return Utterances(
            rows, self.family, self.phase.reader,
            prompts=prompts,
            cache_bytes=self.phase.machine.feature_cache_mb * 1_000_000,
            augment=augment,
            seed=self.phase.common.seed,
        )  # fmt: skip

    def _encoder_cache(self) -> EncoderCache | None:
        size_mb = self.phase.machine.encoder_cache_mb
        if not size_mb:
            return None
        prefix = self.family.parts["encoder"]
        learning = (n for n, p in self.family.model.named_parameters() if p.requires_grad)
        if self.phase.params.augment or any(name.startswith(prefix) for name in learning):
            log.info("no encoder cache: in this phase the encoder's output changes")
            return None
        return EncoderCache(self.family, size_mb * 1_000_000)

    def _any_process(self, value: bool) -> bool:
        """Whether it is true in any process."""
        sum_ = self.accelerator.reduce(torch.tensor(float(value), device=self.args.device))
        return bool(sum_)

    def _collate(self, examples: list[Example]) -> dict[str, Any]:
        return {"ids": [e.id for e in examples], **self.family.training_batch(examples)}

    def get_train_dataloader(self) -> DataLoader[Example]:
        """Batches of the whole phase, this process's share; the Trainer sees one epoch."""
        return self._loader(self.examples, self.batches)

    def _loader(self, dataset: Utterances, batches: PhaseBatches) -> DataLoader[Example]:
        # Not prepared by accelerate, which would divide among processes what already is.
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=self._collate,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory and self.args.device.type == "cuda",
        )

    @torch.no_grad()
    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Score the dev set: the mean loss over its batches, weighted by their utterances."""
        frames = num_frames(self.phase.dev_rows["duration_s"].to_numpy())
        batches = PhaseBatches(
            frames, self.phase.common.batch_frames, len(frames), 1, 0,
            window=self.batches.window,
            processes=self.batches.processes, process=self.batches.process,
        )  # fmt: skip
        self.model_wrapped.eval()
        # The last batch of a process may be one that another has, too: see PhaseBatches.
        own = len(range(self.batches.process, len(batches.sizes), self.batches.processes))
        sums = torch.zeros(2, dtype=torch.float64)
        for number, inputs in enumerate(self._loader(self.dev_examples, batches)):
            count = len(inputs["ids"]) if number < own else 0
            loss = self.compute_loss(self.model_wrapped, self._prepare_inputs(inputs))
            sums += count * torch.tensor([loss.item(), 1.0], dtype=torch.float64)
        total, count = self.accelerator.reduce(sums.to(self.args.device)).tolist()
        logs = {"eval_loss": total / count}
        self.log(logs)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, logs)
        return logs

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The family's loss; a batch that fails is named by its utterances."""
        ids = inputs.pop("ids")
        try:
            if self.encoder_cache and model.training:
                with self.accelerator.autocast():
                    inputs["encoded"] = self.encoder_cache.encoded(ids, inputs)
            outputs = model(**inputs)
        except Exception:
            log.error("step %d failed on utterances %s", self.state.global_step + 1, ids)
            raise
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add to a row of the log what the batches since the last row were like."""
        if "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise DataError(
                    f"the loss is {logs['loss']} around step {self.state.global_step}; "
                    "lower the learning rate, or look at the utterances of the last batches"
                )
            epoch, real, padded = self._batch_sizes()
            logs["epoch_number"] = epoch
            logs["padded_share"] = 1 - real / padded
            logs["audio_s"] = real / FRAMES_PER_S
        super().log(logs, start_time)

    def _batch_sizes(self) -> tuple[int, int, int]:
        """Epoch (from 1), real and padded frames of the batches since the last logged row."""
        logged = [row["step"] for row in self.state.log_history if "loss" in row]
        per_step = self.phase.common.accumulate * self.batches.processes
        first = (logged[-1] if logged else 0) * per_step
        sizes = self.batches.sizes[first : self.state.global_step * per_step]
        return int(sizes[-1][0]) + 1, int(sizes[:, 1].sum()), int(sizes[:, 2].sum())

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write the weights of a state: of what learns, as the rest is that of `init`."""
        assert output_dir is not None
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        tensors = state_dict or self.family.model.state_dict()
        learned = {name: tensors[name] for name in sorted(self.learning)}
        torch.save(learned, Path(output_dir) / STATE_WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            self._restore(Path(resume_from_checkpoint) / STATE_WEIGHTS)

    def _restore(self, file: Path) -> None:
        weights = torch.load(file, map_location="cpu")
        self.family.model.load_state_dict(weights, strict=False)
        assert weights.keys() == self.learning, f"{file} is of another phase"

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        state = self.phase.directory / f"checkpoint-{self.state.global_step}"
        with writing(state):
            super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            mark_complete(state)
            for file in self.phase.directory.glob("best-*.pt"):
                if file != self._best_file():
                    file.unlink()

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """Score the dev set when a step has come that asks for it; see `_evaluate`."""
        # Called after each step and once more at the end.
        step = self.state.global_step
        if step in self.export_steps or step in self.dev_steps:
            self.control.should_log = self.control.should_evaluate = True
            self.dev_steps.discard(step)
        super()._maybe_log_save_evaluate(*args, **kwargs)

    def _evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Score the dev set, then save the checkpoint of a percentage if its step has come.

        Before the state of the same step is saved: a run that resumes there has both.
        """
        metrics = super()._evaluate(*args, **kwargs)
        step, last = self.state.global_step, self.state.global_step == self.state.max_steps
        percent = self.export_steps.pop(step, None)
        if not self.phase.params.early_stopping:
            if percent is not None:
                self._export([percent])
            return metrics
        tensors = self._tensors()
        if self._best_file() == self.phase.directory / f"best-{step}.pt" and self.args.should_save:
            with writing(self._best_file()), atomic_path(self._best_file()) as temporary:
                torch.save({name: tensors[name] for name in self.learning}, temporary)
        if percent is not None and not last:
            self._export([percent])
        stopped = has_stopped(self.state.log_history, self.phase.params.early_stopping.patience)
        if stopped or last:
            log.info(
                "step %d: the best dev loss was at step %d", step, best_step(self.state.log_history)
            )
            self.accelerator.wait_for_everyone()
            self._restore(self._best_file())
            not_reached = [p for number, p in self.export_steps.items() if number > step]
            self._export(sorted({*not_reached, 100}))
            self.export_steps.clear()
            self.control.should_training_stop = True
        return metrics

    def _best_file(self) -> Path:
        return self.phase.directory / f"best-{best_step(self.state.log_history)}.pt"

    def is_done(self, state: Path | None) -> bool:
        """Whether a saved state is of a phase that had stopped early; takes over its log."""
        early = self.phase.params.early_stopping
        if not early or not state:
            return False
        saved = TrainerState.load_from_json(str(state / TRAINER_STATE_NAME))
        if has_stopped(saved.log_history, early.patience):
            self.state = saved
        return self.state is saved

    def _export(self, percents: Sequence[int]) -> None:
        """Save the present weights as the checkpoints of percentages, with the phase's prompts."""
        tensors = self._tensors()
        prompts = self.phase.params.prompts
        taught = dataclasses.replace(self.family.defaults, prompts=prompts)
        if self.args.should_save:
            for percent in percents:
                path = self.phase.directory / f"p{percent}"
                with writing(path), atomic_directory(path) as directory:
                    self.family.save(directory, tensors)
                    defaults.write(directory, taught)

    def _tensors(self) -> dict[str, torch.Tensor]:
        """The model's state, gathered if processes hold parts of it."""
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            gathered: dict[str, torch.Tensor] = self.accelerator.get_state_dict(self.model_wrapped)
            return gathered
        return self.family.model.state_dict()

    def write_logs(self, directory: Path) -> None:
        """Write log.tsv and dev.tsv from the history that saved states carry along."""
        history = self.state.log_history
        train_rows = [
            {**row, "epoch": row["epoch_number"], "lr": row["learning_rate"]}
            for row in history
            if "loss" in row
        ]
        dev_rows = [
            {"step": row["step"], "dev_loss": row["eval_loss"]}
            for row in history
            if "eval_loss" in row
        ]
        _write_tsv(directory / LOG, LOG_COLUMNS, train_rows)
        _write_tsv(directory / DEV, DEV_COLUMNS, dev_rows)


def _steps(num_steps: int, percents: Iterable[int]) -> dict[int, int]:
    """Step -> percent."""
    return {max(round(num_steps * percent / 100), 1): percent for percent in percents}


def _arguments(phase: Phase, num_steps: int) -> TrainingArguments:
    common = phase.common
    arguments = TrainingArguments(
        output_dir=str(phase.directory),
        seed=common.seed,
        max_steps=num_steps,
        gradient_accumulation_steps=common.accumulate,
        learning_rate=phase.params.lr,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(
            common.schedule, common.schedule
        ),
        warmup_steps=common.warmup,
        adam_beta1=common.adam_betas[0],
        adam_beta2=common.adam_betas[1],
        weight_decay=common.weight_decay,
        max_grad_norm=common.max_grad_norm,
        bf16=phase.bf16,
        use_cpu=phase.device.type == "cpu",
        logging_steps=common.log_steps,
        logging_nan_inf_filter=False,  # `log` stops at such a loss instead of hiding it
        # Between two rows of the log a loss is half summed up, which no state holds.
        save_steps=math.ceil(phase.machine.resume_steps / common.log_steps) * common.log_steps,
        save_total_limit=2,  # the last may be half-written
        eval_strategy="no",  # asked for at the named percentages
        prediction_loss_only=True,
        label_names=["labels_ids"],
        remove_unused_columns=False,
        dataloader_num_workers=phase.machine.workers,
        report_to=[],
        disable_tqdm=True,
        # All that learns gets a gradient in every step.
        ddp_find_unused_parameters=False,
    )
    # One process uses one GPU; the Trainer would divide batches over all that it sees.
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


def _write_tsv(file: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    lines = ["\t".join(columns)]
    lines += ["\t".join(f"{row[column]:.6g}" for column in columns) for row in rows]
    write_text(file, "\n".join(lines) + "\n")
