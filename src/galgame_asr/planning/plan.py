"""What each phase of params.yaml needs: parameters, memory, steps and time."""

import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from galgame_asr.base.params import BaseParams
from galgame_asr.core import processes, utterances
from galgame_asr.experiment.params import Params
from galgame_asr.families.common.batching import FRAMES_PER_S, num_frames
from galgame_asr.families.common.compute import Precision
from galgame_asr.messages.errors import ConfigError
from galgame_asr.planning import fun_asr_nano_2512
from galgame_asr.planning.memory import Memory, measure, predict
from galgame_asr.splitting.mix import select
from galgame_asr.training.batches import Steps
from galgame_asr.training.freezing import prepare
from galgame_asr.training.params import CommonParams, TrainingParams

GIB = 2**30
CARDS_GB = (8, 12, 16, 24, 40, 48, 80)
# Beyond tensors: the CUDA context, and what the caching allocator cannot use between them.
# Common figures, not measured here.
CUDA_CONTEXT_BYTES = 0.6 * GIB
FRAGMENTATION = 1.05
# Batches, in utterances, between which memory is taken to grow evenly.
PROBES = (16, 48)
# Published models whose architecture this project knows without a download.
PUBLISHED = {fun_asr_nano_2512.REPO: "fun_asr_nano_2512"}


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
    fits: dict[int, int]  # card in GB -> largest micro-batch in frames; 0: not one utterance
    num_steps: int | None  # per epoch; None: no data here yet
    audio_s: float | None  # of all epochs


def phases(params: Params) -> dict[str, TrainingParams]:
    """All that is trained, in order."""
    recipe = params.base.built.recipe
    return {**({"base": recipe.pretrain} if recipe else {}), **params.train.phases}


@contextmanager
def model_directory(base: BaseParams, made: Path) -> Iterator[Path]:
    """Give a directory with the model's configuration; its weights need not be there.

    Raises:
        ConfigError: nothing here tells the architecture, or it is none that can be planned.
    """
    if base.built.tiny_whisper or (made / "generation_config.json").exists():
        raise ConfigError("galgame-asr plan knows Fun-ASR-Nano alone; this model is a Whisper")
    hub = base.existing.hub
    if base.existing.directory:
        yield Path(base.existing.directory.path)
    elif hub and hub.repo in PUBLISHED:
        with TemporaryDirectory() as directory:
            module = importlib.import_module(f"galgame_asr.planning.{PUBLISHED[hub.repo]}")
            module.write_config(Path(directory), source=hub.source)
            yield Path(directory)
    elif (made / "config.yaml").exists():
        yield made
    else:
        raise ConfigError(
            "the model's configuration is not here yet; run `dvc repro base` first (build, where "
            "params.yaml builds one)"
        )


class Planner:
    """Plans the phases of one model."""

    def __init__(self, family: str, directory: Path, speech: Speech, precision: Precision) -> None:
        self.family, self.directory = family, directory
        self.speech, self.precision = speech, precision

    @property
    def module(self) -> Any:
        """What the family has for planning."""
        return importlib.import_module(f"galgame_asr.planning.{self.family}")

    def num_parameters(self) -> dict[str, int]:
        """Parameters by component."""
        with torch.device("meta"), self.module.fakeable(self.speech.text_tokens):
            counts: dict[str, int] = self.module.Planned(self.directory).num_parameters()
            return counts

    def measured(
        self, params: TrainingParams, common: CommonParams, utterances: int, device: str
    ) -> int:
        """Peak bytes of real steps with random weights, in a process of its own."""
        with processes.pool(1, method="spawn") as pool:
            arguments = (self, params, common, utterances, device)
            return pool.submit(_measure, *arguments).result()

    def plan(
        self,
        name: str,
        params: TrainingParams,
        common: CommonParams,
        micro_batch_frames: int,
        split: Path,
        hours: float,
    ) -> PhasePlan:
        """All about one phase; `hours` of audio per epoch if `split` has no table yet."""
        own = self.utterances(micro_batch_frames)
        build, batches = self._step(params, common, (own, *PROBES))
        with self.module.fakeable(self.speech.text_tokens):
            memory, few, many = predict(build, batches, self.precision)
        per_utterance = (many.peak - few.peak) / (PROBES[1] - PROBES[0])
        # However small the batch, the update needs these.
        least = few.weights + few.gradients + few.optimizer
        fits = {}
        for card in CARDS_GB:
            room = (card * GIB - CUDA_CONTEXT_BYTES) / FRAGMENTATION
            count = math.floor((room - few.peak) / per_utterance) + PROBES[0]
            fits[card] = self._frames(count) if count > 0 and least <= room else 0
        num_steps, audio_s = _length(params, common, split, hours)
        learning = self.learning(params, common)
        return PhasePlan(name, learning, memory, fits, num_steps, audio_s)

    def learning(self, params: TrainingParams, common: CommonParams) -> int:
        """Parameters that learn."""
        with torch.device("meta"), self.module.fakeable(self.speech.text_tokens):
            build, _ = self._step(params, common, [])
            return sum(p.numel() for p in build().parameters() if p.requires_grad)

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
        return max(round(frames / (self.speech.duration_s * FRAMES_PER_S)), 1)

    def _frames(self, utterances: int) -> int:
        return round(utterances * self.speech.duration_s * FRAMES_PER_S)


def _measure(
    planner: Planner, params: TrainingParams, common: CommonParams, utterances: int, device: str
) -> int:
    build, (batch,) = planner._step(params, common, [utterances])
    return measure(build, batch, device=torch.device(device), precision=planner.precision)


def _length(
    params: TrainingParams, common: CommonParams, split: Path, hours: float
) -> tuple[int | None, float | None]:
    """Steps per epoch, and seconds of audio in all epochs."""
    table = split / "train.parquet"
    if hours:
        frames = hours * 3600 * FRAMES_PER_S
        num_steps = math.ceil(frames / common.batch_frames)
    elif table.exists():
        rows = select(utterances.read(table), params.mix)
        lengths = num_frames(rows["duration_s"].to_numpy())
        num_steps = len(Steps(lengths, common.batch_frames, common.sort_window, 1, 0))
        frames = float(np.sum(lengths))
    else:
        return None, None
    return num_steps, params.epochs * frames / FRAMES_PER_S
