"""`galgame-asr plan`: which cards, for how long, and how much disk, as text."""

import argparse
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from galgame_asr.base import fun_asr_nano_2512
from galgame_asr.core.params import PARAMS_FILE, hint, parse, read_params
from galgame_asr.core.paths import MODELS, RAW, SPLIT
from galgame_asr.experiment.params import Params
from galgame_asr.families.common import compute
from galgame_asr.families.common.batching import FRAMES_PER_S
from galgame_asr.families.common.compute import Precision
from galgame_asr.messages.console import Progress
from galgame_asr.messages.errors import ConfigError
from galgame_asr.planning import audit, cards, disk, speed
from galgame_asr.planning.cards import GIB, Card
from galgame_asr.planning.memory import Measured
from galgame_asr.planning.plan import (
    Data,
    PhasePlan,
    Planner,
    Speech,
    model_directory,
    phases,
)
from galgame_asr.planning.published import GB
from galgame_asr.training.params import CommonParams, TrainingParams

# Of an average line of the galgame corpus.
UTTERANCE_S, TEXT_TOKENS = 5.1, 20


@dataclass(frozen=True)
class Machine:
    """What a step is divided among."""

    cards: int  # of all machines
    card_frames: int  # of a step, what one card hears, padding included
    micro_batch_frames: int  # and of that at once
    is_auto: bool = False  # as many of these as the GPU has room for
    device: str = "cpu"  # of steps that are measured


def show(
    options: argparse.Namespace,
    file: Path = PARAMS_FILE,
    made: Path = MODELS / "base",
    rehearsed: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Print the plan of the phases in params.yaml; see the command's options.

    Args:
        options: of the command.
        file: the params.
        made: where a model lies that they have built.
        rehearsed: by phase, seconds of speech per second as a rehearsal on this machine had them.

    Raises:
        ConfigError: params are not valid, the model's configuration is not here, or
            there is no such phase, or a measured one has no room.
    """
    params = parse(Params, read_params(file), "", file=file)
    chosen = phases(params)
    if options.phase:
        if options.phase not in chosen:
            raise ConfigError(f"no phase '{options.phase}'. {hint(options.phase, list(chosen))}")
        chosen = {options.phase: chosen[options.phase]}
    common = params.train.common
    speech = Speech(options.utterance_s or UTTERANCE_S, options.text_tokens or TEXT_TOKENS)
    data = Data(params.corpora, SPLIT, options.hours)
    compute.set_up(params.compute)
    torch.set_deterministic_debug_mode("default")  # fake tensors have no content to fill
    with (
        _warnings_alone(),
        model_directory(params.base, params.model.family, made) as directory,
    ):
        device = compute.device(params.compute) if options.measure else torch.device("cpu")
        precision = options.precision or (
            compute.precision(params.compute, device) if options.measure else "bf16"
        )
        planner = Planner(params.model.family, directory, speech, precision)
        machine = _machine(params, planner, options, device)
        print(_model(planner.num_parameters))
        hub = params.base.existing.hub
        if hub and hub.repo == fun_asr_nano_2512.REPO:
            print(fun_asr_nano_2512.describe(hub.source))
        print(_step(planner, common, machine) + "\n")
        plans: list[PhasePlan] = []
        machines, measured = dict.fromkeys(chosen, machine), {}
        with Progress("plan", total=len(chosen), unit="phases") as progress:
            for name, phase in chosen.items():
                if options.measure:
                    found = _measure(planner, name, phase, common, machine)
                    machines[name], measured[name] = found
                frames = machines[name].micro_batch_frames
                plans.append(planner.plan(name, phase, common, frames, data, cards=machine.cards))
                if options.measure:
                    print(_beside(plans[-1], measured[name], machine.device))
                progress.update(1, name)
        print(_cards(plans, params, precision))
        speeds = {
            name: options.speed
            or rehearsed.get(name)
            or _speed(planner, phase, common, machines[name], measured.get(name))
            for name, phase in chosen.items()
        }
        source = _source(options, machine, rehearsed=bool(rehearsed))
        print(_time(plans, chosen, data, speeds, source))
        if not options.phase:
            print(_disk(params, plans, planner))
            for line in audit.lines(params, SPLIT / "train.parquet", speech.duration_s):
                print(line)


@contextmanager
def _warnings_alone() -> Iterator[None]:
    logger = logging.getLogger("galgame_asr")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _machine(
    params: Params, planner: Planner, options: argparse.Namespace, device: torch.device
) -> Machine:
    machine = params.machine
    machines: int = machine.accelerate.get("num_machines", 1)
    cards = (options.processes or machine.processes) * machines
    card_frames = planner.step_frames(params.train.common.batch_frames, cards)
    frames = options.micro_batch_frames or machine.micro_batch_frames
    largest = speed.ENOUGH_FRAMES if frames == "auto" else frames
    return Machine(cards, card_frames, min(card_frames, largest), frames == "auto", device.type)


def _model(counts: Mapping[str, int]) -> str:
    parts = ", ".join(f"{name} {count / 1e6:.3f} M" for name, count in counts.items())
    return f"{sum(counts.values()) / 1e6:.3f} M parameters: {parts}"


def _step(planner: Planner, common: CommonParams, machine: Machine) -> str:
    frames, speech = machine.micro_batch_frames, planner.speech
    on = "1 card" if machine.cards == 1 else f"{machine.cards} cards"
    return (
        f"A step: {common.batch_frames} frames of speech, on {on}; "
        f"at once {frames},\n{planner.utterances(frames)} utterances of {speech.duration_s} s with "
        f"{speech.text_tokens} tokens of text, in {planner.precision}."
    )


def _cards(plans: Sequence[PhasePlan], params: Params, precision: Precision) -> str:
    smallest = {plan.name: cards.smallest(plan.least_bytes) for plan in plans}
    sensible = {
        plan.name: cards.sensible(max(plan.memory.peak, plan.least_bytes)) for plan in plans
    }
    rows = [
        f"{'phase':12} {'learns':>9} {'fixed':>7} {'activations':>12} {'peak':>7}  "
        f"{'smallest card':25} sensible card"
    ]
    for plan in plans:
        m = plan.memory
        fixed = m.weights + m.gradients + m.optimizer
        rows.append(
            f"{plan.name:12} {plan.learning / 1e6:7.1f} M {fixed / GIB:7.3g} "
            f"{m.activations / GIB:12.3g} {m.peak / GIB:7.3g}  "
            f"{_name(smallest[plan.name]):25} {_name(sensible[plan.name])}"
        )
    if len(plans) > 1:
        of_all = _name(cards.largest(smallest)), _name(cards.largest(sensible))
        rows.append(f"{'all':50}  {of_all[0]:25} {of_all[1]}")
    rows.append(
        "Fixed: weights, gradients, optimizer. Smallest: has room for 30 s of speech at a time.\n"
        "Sensible: has bf16, and a quarter more than the peak."
    )
    if params.machine.accelerate.keys() & {"fsdp_config", "deepspeed_config"}:
        rows.append("Each card with a whole copy: how FSDP or DeepSpeed divides it is not planned.")
    computed = "float32" if precision == "float32" else "bf16 as in fp16"
    return f"Which card? Memory in GiB, in {computed}\n" + "\n".join(rows) + "\n"


def _name(card: Card | None) -> str:
    return str(card) if card else "none: see FSDP"


def _speed(
    planner: Planner,
    phase: TrainingParams,
    common: CommonParams,
    machine: Machine,
    measured: Measured | None,
) -> float | None:
    """Seconds of speech per second, on all cards together, each as quick as the one measured."""
    frames = machine.micro_batch_frames
    seconds = (
        measured.step_s
        if measured
        else speed.step_s(phase, common, planner.precision, planner.parameters, frames)
    )
    if seconds is None:
        return None
    step_s = seconds * math.ceil(machine.card_frames / frames)
    return common.batch_frames / FRAMES_PER_S / step_s


def _source(options: argparse.Namespace, machine: Machine, *, rehearsed: bool) -> str:
    if options.speed:
        return "at the speed that --speed says"
    card, source = speed.CARD, speed.SOURCE
    if options.measure or rehearsed:
        on_gpu = machine.device == "cuda"
        card = torch.cuda.get_device_name() if on_gpu else compute.cpu_name()
        source = "measured now" if options.measure else "as rehearsed"
    if machine.cards > 1 and not rehearsed:
        source += "; each taken to be as quick as one alone"
    return f"at the speed of {machine.cards} x {card} ({source})"


def _time(
    plans: Sequence[PhasePlan],
    chosen: Mapping[str, TrainingParams],
    data: Data,
    speeds: Mapping[str, float | None],
    source: str,
) -> str:
    rows = [
        f"{'phase':12} {'epochs':>6} {'audio h':>9} {'steps':>9} {'audio s/s':>10} {'hours':>8}  "
        "highest lr"
    ]
    total: float | None = 0.0
    for plan in plans:
        epochs, at = chosen[plan.name].epochs, speeds[plan.name]
        hours = None
        length = f"{'?':>9} {'?':>9}"
        if plan.num_steps is not None and plan.audio_s is not None:
            length = f"{plan.audio_s / 3600:9.1f} {plan.num_steps * epochs:9}"
            hours = plan.audio_s / at / 3600 if at else None
        total = total + hours if total is not None and hours is not None else None
        rows.append(
            f"{plan.name:12} {epochs:6} {length} {f'{at:.0f}' if at else '?':>10} "
            f"{f'{hours:.1f}' if hours is not None else '?':>8}  {_rates(plan.rates)}"
        )
    if len(plans) > 1:
        rows.append(f"{'all':49} {f'{total:.1f}' if total is not None else '?':>9}")
    if any(plan.audio_s is None for plan in plans):
        rows.append(
            "Audio: not here yet, and no size is published; --hours says how much there is."
        )
    else:
        rows.append(f"Audio: {data.source}. Downloads, dev sets and decodes come on top.")
    if not all(speeds.values()):
        rows.append("Nothing like it was measured: --measure on the card, or --speed, tells.")
    heading = f"How long, {source}?" if any(speeds.values()) else "How long?"
    return f"{heading}\n" + "\n".join(rows) + "\n"


def _rates(rates: Mapping[str, float]) -> str:
    """One learning rate, or that of each part."""
    said = {
        part: np.format_float_scientific(r, trim="-", exp_digits=1) for part, r in rates.items()
    }
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return ", ".join(f"{part} {rate}" for part, rate in said.items())


def _disk(params: Params, plans: Sequence[PhasePlan], planner: Planner) -> str:
    parts = disk.uses(params, plans, planner.checkpoint_bytes, planner.parameters, RAW)
    rows = [f"{part.folder:20} {part.size_bytes / GB:8.1f}  {part.what}" for part in parts]
    everything, pushed = disk.total(parts, pushed=False) / GB, disk.total(parts, pushed=True) / GB
    rows += [
        f"{'.dvc/cache':20} {0:8.1f}  links to the same files; on another disk {pushed:.1f} more",
        f"{'all':20} {everything:8.1f}  `make push` sends {pushed:.1f} of it",
    ]
    return "How much disk, in GB?\n" + "\n".join(rows)


def _measure(
    planner: Planner, name: str, phase: TrainingParams, common: CommonParams, machine: Machine
) -> tuple[Machine, Measured]:
    """Do real steps; of fewer frames where a GPU has no room and is to find out, as training does.

    Raises:
        ConfigError: they have no room.
    """
    frames = machine.micro_batch_frames
    while True:
        utterances = planner.utterances(frames)
        try:
            measured = planner.measured(phase, common, utterances, machine.device)
        except torch.OutOfMemoryError:
            too_many = f"phase {name}: {frames} frames at once have no room on this GPU"
        else:
            return replace(machine, micro_batch_frames=frames), measured
        if utterances == 1:
            raise ConfigError(
                f"{too_many}, and they are one utterance; freeze more, use lora or "
                "activation_checkpointing"
            )
        if not machine.is_auto:
            raise ConfigError(
                f"{too_many}; machine.micro_batch_frames or --micro-batch-frames takes fewer"
            )
        frames //= 2
        print(f"{too_many}: halved to {frames}, as training does")


def _beside(plan: PhasePlan, measured: Measured, device: str) -> str:
    """The predicted peak beside the measured one."""
    off = plan.memory.peak / measured.peak_bytes - 1
    return (
        f"{plan.name} on {device}: predicted {plan.memory.peak / GIB:.3g} GiB, measured "
        f"{measured.peak_bytes / GIB:.3g} GiB ({off:+.1%}); {measured.step_s:.3g} s"
    )
