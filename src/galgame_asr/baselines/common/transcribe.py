"""Other people's models and transcripts: one room per kind, each giving texts of the sets."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd

from galgame_asr.decoding.params import LongAudioParams
from galgame_asr.decoding.transcripts import Transcripts
from galgame_asr.families.common.params import ComputeParams, MachineParams

Sets = Mapping[str, pd.DataFrame]  # manifests by the name of their set


class Entry(Protocol):
    """An entry of `baselines`, of whatever kind."""

    @property
    def kind(self) -> str:
        """The name of the room that knows the others."""


@dataclass(frozen=True)
class Run:
    """Where the sets are, and what they are transcribed on."""

    name: str  # of the baseline
    raw: Path  # shards
    long_audio: LongAudioParams
    compute: ComputeParams
    machine: MachineParams
    speed: Path  # where NAME-PROMPT.json is written, how fast it was


def transcribe(baseline: Entry, sets: Sets, run: Run) -> Mapping[str, Transcripts]:
    """The transcripts of every utterance, by the name of the prompt.

    Module `transcribe` of the room named like `baseline.kind` does it, with one function of the
    same arguments.

    Raises:
        CheckpointError: it is no model, or not of this kind.
        ConfigError: the entry asks for what the kind does not have.
        DataError: files cannot be read, or have no text for an utterance.
    """
    module = importlib.import_module(f"galgame_asr.baselines.{baseline.kind}.transcribe")
    found: Mapping[str, Transcripts] = module.transcribe(baseline, sets, run)
    return found
