"""The training loop of one phase: transformers.Trainer with this project's data and files.

What the Trainer does: optimizer, schedule, clipping, accumulation, devices,
mixed precision, saving and restoring optimizer and random state. What is added:
batches under a frame budget, frozen parts, checkpoints named by percent, and a
log whose rows do not depend on interruptions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from galgame_asr.audio.reader import ShardReader
from galgame_asr.batching import FRAMES_PER_S, PhaseBatches, num_frames
from galgame_asr.console import log
from galgame_asr.errors import DataError, InterruptionError
from galgame_asr.families import Example, Family
from galgame_asr.files import atomic_directory, write_text
from galgame_asr.params.prompts import Prompt
from galgame_asr.params.train import CommonParams, TrainingParams
from galgame_asr.training.dataset import Utterances
from galgame_asr.training.freezing import freeze
from galgame_asr.training.progress import ProgressCallback, tensorboard_callback
from galgame_asr.training.resume import last_complete, mark_complete
from galgame_asr.training.stopping import StopOnSigterm

STATE_WEIGHTS = "model.pt"
LOG_COLUMNS = ["step", "epoch", "loss", "lr", "grad_norm", "padded_share", "audio_s"]
DEV_COLUMNS = ["step", "dev_loss"]


@dataclass(frozen=True)
class Phase:
    """All that one phase of training needs."""

    family: Family
    common: CommonParams
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
        DataError: there is nothing to train on, an utterance cannot be read, or
            the loss is not finite.
        InterruptionError: SIGTERM came; the next run goes on from the state just saved.
    """
    if phase.train_rows.empty or phase.dev_rows.empty:
        raise DataError(
            f"mix {phase.params.mix} selects {len(phase.train_rows)} training and "
            f"{len(phase.dev_rows)} dev utterances; both are needed"
        )
    if phase.params.ctc_weight:
        torch.manual_seed(phase.common.seed)  # its first weights
        phase.family.add_ctc_head(phase.params.ctc_weight)
    learning = freeze(phase.family.model, phase.family.parts, phase.params.freeze)
    total = sum(p.numel() for p in phase.family.model.parameters())
    log.info(
        "learning %s of %.3f M parameters",
        ", ".join(f"{part} {count / 1e6:.3f} M" for part, count in learning.items()), total / 1e6,
    )  # fmt: skip
    trainer = PhaseTrainer(phase)
    state = last_complete(phase.directory)
    log.info("resuming at %s" if state else "starting%s", state or "")
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    if trainer.stopping.stopped:
        raise InterruptionError(
            f"stopped by SIGTERM at step {trainer.state.global_step}; `dvc repro` goes on"
        )
    trainer.write_logs(phase.directory)


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
        )
        num_steps = math.ceil(len(self.batches) / common.accumulate)
        self.export_steps = {
            max(round(num_steps * percent / 100), 1): percent for percent in phase.checkpoints
        }
        self.examples = self._examples(phase.train_rows, phase.params.prompts)
        self.dev_examples = self._examples(phase.dev_rows, phase.params.prompts[-1:])
        self.stopping = StopOnSigterm(common.log_steps)
        callbacks: list[TrainerCallback] = [
            ProgressCallback(num_steps, phase.logs),
            self.stopping,
        ]
        if common.tensorboard:
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

    def _examples(self, rows: pd.DataFrame, prompts: Sequence[Prompt]) -> Utterances:
        cache_bytes = self.phase.common.feature_cache_mb * 1_000_000
        return Utterances(
            rows, self.family, self.phase.reader, prompts=prompts, cache_bytes=cache_bytes
        )

    def _collate(self, examples: list[Example]) -> dict[str, Any]:
        return {"ids": [e.id for e in examples], **self.family.training_batch(examples)}

    def get_train_dataloader(self) -> DataLoader[Example]:
        """Batches of the whole phase; the Trainer sees them as one epoch."""
        return self._loader(self.examples, self.batches)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Example]:
        """Batches of the dev set, the same each time."""
        frames = num_frames(self.phase.dev_rows["duration_s"].to_numpy())
        budget = self.phase.common.batch_frames
        return self._loader(self.dev_examples, PhaseBatches(frames, budget, len(frames), 1, 0))

    def _loader(self, dataset: Utterances, batches: PhaseBatches) -> DataLoader[Example]:
        loader = DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=self._collate,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )
        prepared: DataLoader[Example] = self.accelerator.prepare(loader)
        return prepared

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
        accumulate = self.phase.common.accumulate
        first = (logged[-1] if logged else 0) * accumulate
        sizes = self.batches.sizes[first : self.state.global_step * accumulate]
        return int(sizes[-1][0]) + 1, int(sizes[:, 1].sum()), int(sizes[:, 2].sum())

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        assert output_dir is not None
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        torch.save(state_dict or self.family.model.state_dict(), Path(output_dir) / STATE_WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        weights = torch.load(Path(resume_from_checkpoint) / STATE_WEIGHTS, map_location="cpu")
        (model or self.family.model).load_state_dict(weights)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        mark_complete(self.phase.directory / f"checkpoint-{self.state.global_step}")

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """Export the checkpoint of a percentage when its step has come, and score the dev set."""
        # Called after each step and once more at the end.
        percent = self.export_steps.pop(self.state.global_step, None)
        if percent is not None:
            self.control.should_log = self.control.should_evaluate = True
            if self.args.should_save:
                with atomic_directory(self.phase.directory / f"p{percent}") as directory:
                    self.family.save(directory)
        super()._maybe_log_save_evaluate(*args, **kwargs)

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
        _write_tsv(directory / "log.tsv", LOG_COLUMNS, train_rows)
        _write_tsv(directory / "dev.tsv", DEV_COLUMNS, dev_rows)


def _arguments(phase: Phase, num_steps: int) -> TrainingArguments:
    common = phase.common
    return TrainingArguments(
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
        save_steps=common.resume_steps,
        save_total_limit=2,  # the last may be half-written
        eval_strategy="no",  # asked for at the named percentages
        prediction_loss_only=True,
        label_names=["labels_ids"],
        remove_unused_columns=False,
        dataloader_num_workers=common.workers,
        report_to=[],
        disable_tqdm=True,
    )


def _write_tsv(file: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    lines = ["\t".join(columns)]
    lines += ["\t".join(f"{row[column]:.6g}" for column in columns) for row in rows]
    write_text(file, "\n".join(lines) + "\n")
