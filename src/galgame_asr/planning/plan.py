"""What each phase of params.yaml needs: parameters, memory, steps and time."""

import importlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from galgame_asr.base import existing
from galgame_asr.base.params import BaseParams
from galgame_asr.core import processes, utterances
from galgame_asr.core.paths import NOT_SPEECH
from galgame_asr.corpora.params import Entry
from galgame_asr.experiment.params import Params
from galgame_asr.families.common.batching import FRAMES_PER_S, num_frames
from galgame_asr.families.common.compute import Precision
from galgame_asr.messages.errors import ConfigError
from galgame_asr.planning import published
from galgame_asr.planning.cards import LONGEST_FRAMES
from galgame_asr.planning.memory import Measured, Memory, measure, predict
from galgame_asr.splitting.mix import select
from galgame_asr.training.batches import Steps
from galgame_asr.training.freezing import prepare
from galgame_asr.training.optimizer import part_of, part_rates
from galgame_asr.training.params import CommonParams, TrainingParams


@dataclass(frozen=True)
class Speech:
    """What an average utterance is like."""

    duration_s: float
    text_tokens: int


@dataclass(frozen=True)
class PhasePlan:
    """One phase."""

    name: str
    learning: int  # parameters
    memory: Memory  # at the micro-batch asked for
    least_bytes: int  # the peak of the smallest that every utterance fits into
    num_steps: int | None  # per epoch; None: nobody knows how much data there is
    audio_s: float | None  # of all epochs
    rates: Mapping[str, float]  # the highest learning rate of each part that learns


@dataclass(frozen=True)
class Data:
    """What phases are trained on."""

    corpora: Mapping[str, Entry]
    split: Path  # the folder of its tables, if they are here
    hours: float = 0.0  # of audio per epoch, where the user says it; else 0

    @property
    def source(self) -> str:
        """Where the lengths come from."""
        if self.hours:
            return "as --hours says"
        here = self._is_here(())
        return f"of {self._table}" if here else "as published; there is no data of it here yet"

    @property
    def _table(self) -> Path:
        return self.split / "train.parquet"

    def _is_here(self, mix: Iterable[str]) -> bool:
        """Whether the table has all corpora of a mix, and none of other params."""
        return bool(self._found) and set(mix) <= self._found <= set(self.corpora)

    @cached_property
    def _found(self) -> set[str]:
        if not self._table.exists():
            return set()
        return set(pd.read_parquet(self._table, columns=["corpus"])["corpus"].unique())

    def length(
        self, params: TrainingParams, common: CommonParams
    ) -> tuple[int | None, float | None]:
        """Steps per epoch, and seconds of audio in all epochs; None: nobody knows."""
        # Of music and noise little trains, if anything.
        silent = {n for n, corpus in self.corpora.items() if getattr(corpus, NOT_SPEECH, False)}
        mix = {name: share for name, share in params.mix.items() if name not in silent}
        if not self.hours and self._is_here(mix):
            rows = select(utterances.read(self._table), mix)
            lengths = num_frames(rows["duration_s"].to_numpy())
            num_steps = len(Steps(lengths, common.batch_frames, common.sort_window, 1, 0))
            return num_steps, params.epochs * float(np.sum(lengths)) / FRAMES_PER_S
        hours = self.hours or self._published_h(mix)
        if hours is None:
            return None, None
        num_steps = math.ceil(hours * 3600 * FRAMES_PER_S / common.batch_frames)
        return num_steps, params.epochs * hours * 3600

    def _published_h(self, mix: Mapping[str, float]) -> float | None:
        hours = 0.0
        for name, share in mix.items():
            size = published.size(self.corpora[name])
            if size is None or size.train_h is None:
                return None
            hours += share * size.train_h
        return hours


def phases(params: Params) -> dict[str, TrainingParams]:
    """All that is trained, in order."""
    recipe = params.base.built.recipe
    return {**({"base": recipe.pretrain} if recipe else {}), **params.train.phases}


@contextmanager
def model_directory(base: BaseParams, family: str, made: Path) -> Iterator[Path]:
    """Give a directory with the model's configuration; its weights need not be there.

    Raises:
        ConfigError: nothing here tells the architecture.
    """
    known = base.existing.hub or base.existing.published_random
    if base.existing.directory:
        yield Path(base.existing.directory.path)
    elif known and known.repo in existing.PUBLISHED:
        with TemporaryDirectory() as directory:
            module = importlib.import_module(f"galgame_asr.base.{existing.PUBLISHED[known.repo]}")
            module.write_config(Path(directory), source=known.source)
            yield Path(directory)
    elif (made / _module(family).CONFIG_FILE).exists():
        yield made
    else:
        raise ConfigError(
            "the model's configuration is not here yet; run `dvc repro base` first (build, where "
            "params.yaml builds one)"
        )


def _module(family: str) -> Any:
    """What a family has for planning."""
    return importlib.import_module(f"galgame_asr.planning.{family}")


class Planner:
    """Plans the phases of one model."""

    def __init__(self, family: str, directory: Path, speech: Speech, precision: Precision) -> None:
        self.family, self.directory = family, directory
        self.speech, self.precision = speech, precision

    @property
    def module(self) -> Any:
        """What the family has for planning."""
        return _module(self.family)

    @property
    def parameters(self) -> int:
        """Of all parts that a phase may train."""
        return sum(self.num_parameters[part] for part in self.module.PARTS)

    def checkpoint_bytes(self, learned: Collection[str]) -> int:
        """Of one checkpoint on the disk, in which these parts have learned since the base."""
        size: int = self.module.checkpoint_bytes(self.directory, self.parameters, learned)
        return size

    @property
    def heard_frames(self) -> float:
        """What the model hears of an average utterance, padding included."""
        window_s: float | None = self.module.Planned.window_s
        return (window_s or self.speech.duration_s) * FRAMES_PER_S

    @cached_property
    def num_parameters(self) -> dict[str, int]:
        """Parameters by component."""
        with torch.device("meta"), self.module.fakeable(self.speech.text_tokens):
            counts: dict[str, int] = self.module.Planned(self.directory).num_parameters()
            return counts

    def measured(
        self, params: TrainingParams, common: CommonParams, utterances: int, device: str
    ) -> Measured:
        """Real steps with random weights, in a process of its own."""
        with processes.pool(1, method="spawn") as pool:
            arguments = (self, params, common, utterances, device)
            return pool.submit(_measure, *arguments).result()

    def plan(
        self,
        name: str,
        params: TrainingParams,
        common: CommonParams,
        micro_batch_frames: int,
        data: Data,
        *,
        cards: int = 1,
    ) -> PhasePlan:
        """All about one phase, trained on `data`.

        Raises:
            ConfigError: as for `freezing.prepare` or `optimizer.make`.
        """
        try:
            learning, rates = self._learning(params, common)
        except ConfigError as error:
            raise ConfigError(f"phase {name}: {error}") from None
        sizes = [self.utterances(frames) for frames in (micro_batch_frames, LONGEST_FRAMES)]
        build, batches = self._step(params, common, sizes)
        with self.module.fakeable(self.speech.text_tokens):
            memory, least = predict(build, batches, self.precision)
        # DistributedDataParallel's buckets are a second copy of the gradients.
        buckets = 4 * learning if cards > 1 else 0
        memory = replace(memory, gradients=memory.gradients + buckets, peak=memory.peak + buckets)
        num_steps, audio_s = data.length(params, common)
        least_bytes = least.peak + buckets
        return PhasePlan(name, learning, memory, least_bytes, num_steps, audio_s, rates)

    def learning(self, params: TrainingParams, common: CommonParams) -> int:
        """Parameters that learn."""
        return self._learning(params, common)[0]

    def _learning(
        self, params: TrainingParams, common: CommonParams
    ) -> tuple[int, dict[str, float]]:
        """Parameters that learn, and the highest learning rate of each part that has some."""
        with torch.device("meta"), self.module.fakeable(self.speech.text_tokens):
            build, _ = self._step(params, common, [])
            learning = {n: p.numel() for n, p in build().named_parameters() if p.requires_grad}
        parts = {part_of(name, self.module.PARTS) for name in learning}
        rates = part_rates(params.lr, self.module.PARTS, parts)
        return sum(learning.values()), {p: rates[p] for p in self.module.PARTS if p in parts}

    def _step(
        self, params: TrainingParams, common: CommonParams, utterances: Sequence[int]
    ) -> tuple[Callable[[], torch.nn.Module], list[Callable[[], Mapping[str, Any]]]]:
        """What makes the model, and then a batch of each size."""
        made: list[Any] = []

        def build() -> torch.nn.Module:
            made.append(self.module.Planned(self.directory))
            prepare(made[-1], params, common)
            model: torch.nn.Module = made[-1].model
            return model

        def batch(count: int) -> Mapping[str, Any]:
            speech = self.speech
            values: Mapping[str, Any] = made[-1].batch(count, speech.duration_s, speech.text_tokens)
            return values

        return build, [partial(batch, count) for count in utterances]

    def utterances(self, frames: int) -> int:
        """How many average utterances a micro-batch has."""
        return max(round(frames / self.heard_frames), 1)

    def step_frames(self, batch_frames: int, cards: int) -> int:
        """Of a step of so many spoken frames, what one card hears, padding included."""
        spoken = self.speech.duration_s * FRAMES_PER_S
        return math.ceil(batch_frames / cards * self.heard_frames / spoken)


def _measure(
    planner: Planner, params: TrainingParams, common: CommonParams, utterances: int, device: str
) -> Measured:
    build, (batch,) = planner._step(params, common, [utterances])
    return measure(build, batch, device=torch.device(device), precision=planner.precision)
