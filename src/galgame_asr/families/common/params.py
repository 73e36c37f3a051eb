"""Sections `model`, `compute`, `machine` and `prompts`."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from galgame_asr.core.params import section
from galgame_asr.families.common.glossary import PromptGlossary


@section
class Prompt:
    """The parts that a family composes its instruction from."""

    # Target language as the family names it (Fun-ASR-Nano: 日文; Whisper: ja or japanese).
    # null leaves it out; Whisper then detects it, and cannot be trained so.
    language: str | None = None
    # Words to expect, such as character names.
    hotwords: tuple[str, ...] = ()
    # Ask for numbers as digits and the like (inverse text normalisation); Fun-ASR-Nano can
    # do without.
    itn: bool = True
    # Write when speech begins and ends, or each sentence where an utterance to learn from has
    # their times; Whisper alone, whose text is the same otherwise.
    timestamps: bool = False
    # Hotwords of each utterance's own, by its reference; beside `hotwords`, which all share.
    glossary: PromptGlossary | None = None


# What an auxiliary CTC loss trains: the branch of the checkpoint, or a new one in its place.
CtcBranch = Literal["published", "new"]
Prompts = Annotated[dict[str, Prompt], Field(min_length=1)]


# The families that train, by the names of their rooms: a new one is no change to this file, on
# which the training of all others depends.
FAMILIES = tuple(
    sorted(
        path.parent.name
        for path in Path(__file__).parents[1].glob("*/family.py")
        if path.parent.name != "common"
    )
)


def _known(family: str) -> str:
    if family not in FAMILIES:
        raise ValueError(f"Input should be {' or '.join(map(repr, FAMILIES))}")
    return family


@section
class ModelParams:
    """The family decides the code that builds, trains, decodes and saves a model."""

    family: Annotated[str, AfterValidator(_known)]


@section
class ComputeParams:
    """Device, precision and reproducibility of every stage that runs a model."""

    # auto: the first CUDA device if there is one, else the CPU.
    device: Literal["auto", "cpu", "cuda"]
    # Weights are float32, and autocast computes in: auto: bf16 where the device has it, else
    # fp16 on CUDA, else float32.
    precision: Literal["auto", "float32", "bf16", "fp16"]
    # CPU threads of one process; null leaves the choice to torch. Sums in another
    # order round differently, so results on a CPU depend on it.
    cpu_threads: Annotated[int, Field(ge=1)] | None
    # Fix the CPU's vector instructions (AVX2), MKL's mode and torch's deterministic algorithms,
    # so that one x86-64 machine's numbers are another's; costs speed on large models. On CUDA,
    # an operation without a deterministic form is a warning.
    reproducible: bool


@section
class MachineParams:
    """What suits the machine: no part of the recipe.

    No stage depends on it, and an interrupted phase goes on under other values. How a step is
    divided (processes, micro_batch_frames) changes rounding, and which numbers dropout draws;
    nothing else here has any influence on a result.
    """

    # Processes per machine, one per GPU. With several, `accelerate launch` trains and decoding
    # shares the work.
    processes: Annotated[int, Field(ge=1)]
    # Further keys of accelerate's configuration file, such as fsdp_config, deepspeed_config,
    # or num_machines and main_process_ip.
    accelerate: dict[str, Any]
    # 10 ms frames, padding included, that go through the model at once: a step of
    # train.common.batch_frames is divided. auto: the whole step; halved where a GPU has no room.
    micro_batch_frames: Literal["auto"] | Annotated[int, Field(ge=1)]
    # A killed phase loses at most the work of so many minutes; 0 saves a state at every step.
    save_minutes: Annotated[float, Field(ge=0)]
    # Processes that read audio in training; 0 reads in the training process.
    workers: Annotated[int, Field(ge=0)]
    # Features kept in memory, per process; the rest are computed again each epoch.
    feature_cache_mb: Annotated[int, Field(ge=0)]
    # Output of the encoder kept in memory, per process, in phases that freeze it and do not
    # augment; per utterance about 170 kB of Fun-ASR-Nano-2512, 7.7 MB of Whisper large.
    # 0: none.
    encoder_cache_mb: Annotated[int, Field(ge=0)]
    # Also write TensorBoard event files to logs/.
    tensorboard: bool
    # 10 ms feature frames per batch of decoding, padding included.
    decode_batch_frames: Annotated[int, Field(ge=1)]
