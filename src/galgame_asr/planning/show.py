"""`galgame-asr plan`: the plan of all phases as text."""

import argparse
import logging
import math
from collections.abc import Mapping

import torch

from galgame_asr.core.params import hint, parse, read_params
from galgame_asr.core.paths import MODELS, SPLIT
from galgame_asr.experiment.params import Params
from galgame_asr.families.common import compute
from galgame_asr.messages.console import Progress, clock
from galgame_asr.messages.errors import ConfigError
from galgame_asr.planning import fun_asr_nano_2512
from galgame_asr.planning.plan import (
    CARDS_GB,
    GIB,
    PhasePlan,
    Planner,
    Speech,
    model_directory,
    phases,
)
from galgame_asr.training.params import CommonParams, TrainingParams


def show(options: argparse.Namespace) -> None:
    """Print the plan of the phases in params.yaml; see the command's options.

    Raises:
        ConfigError: params are not valid, the model's configuration is not here, or
            there is no such phase.
    """
    params = parse(Params, read_params(), "")
    chosen = phases(params)
    if options.phase:
        if options.phase not in chosen:
            raise ConfigError(f"no phase '{options.phase}'. {hint(options.phase, list(chosen))}")
        chosen = {options.phase: chosen[options.phase]}
    common, machine = params.train.common, params.machine
    frames: int = options.micro_batch_frames or (
        math.ceil(common.batch_frames / machine.processes)
        if machine.micro_batch_frames == "auto"
        else machine.micro_batch_frames
    )
    speech = Speech(options.utterance_s, options.text_tokens)
    compute.set_up(params.compute)
    torch.set_deterministic_debug_mode("default")  # fake tensors have no content to fill
    logging.getLogger("galgame_asr").setLevel(logging.WARNING)
    with model_directory(params.base, MODELS / "base") as directory:
        planner = Planner(params.model.family, directory, speech, options.precision)
        print(_model(planner.num_parameters()))
        hub = params.base.existing.hub
        if hub and hub.repo == fun_asr_nano_2512.REPO:
            print(fun_asr_nano_2512.describe(hub.source))
        print(
            f"A micro-batch: {frames} frames, {planner.utterances(frames)} utterances of "
            f"{speech.duration_s} s with {speech.text_tokens} tokens of text; "
            f"{options.precision}, AdamW in float32. "
            f"A step: {common.batch_frames} frames, in {machine.processes} process(es).\n"
        )
        plans = []
        with Progress("plan", total=len(chosen), unit="phases") as progress:
            for name, phase in chosen.items():
                plans.append(planner.plan(name, phase, common, frames, SPLIT, options.hours))
                progress.update(1, name)
        print(_table(plans, sum(planner.num_parameters().values())))
        print(_batches(plans))
        print(_time(plans, chosen, options.speed))
        if options.measure:
            _measure(planner, chosen, plans, common, frames)


def _model(counts: Mapping[str, int]) -> str:
    parts = ", ".join(f"{name} {count / 1e6:.3f} M" for name, count in counts.items())
    return f"{sum(counts.values()) / 1e6:.3f} M parameters: {parts}"


def _table(plans: list[PhasePlan], total: int) -> str:
    lines = [
        "memory at that micro-batch, GiB",
        f"{'phase':12} {'learns':>10} {'share':>6} {'weights':>8} {'gradients':>10} "
        f"{'optimizer':>10} {'activations':>12} {'peak':>7}",
    ]
    for plan in plans:
        m = plan.memory
        lines.append(
            f"{plan.name:12} {plan.learning / 1e6:8.3f} M {plan.learning / total:6.1%} "
            f"{m.weights / GIB:8.3g} {m.gradients / GIB:10.3g} {m.optimizer / GIB:10.3g} "
            f"{m.activations / GIB:12.3g} {m.peak / GIB:7.3g}"
        )
    return "\n".join(lines) + "\n"


def _batches(plans: list[PhasePlan]) -> str:
    cards = "".join(f"{f'{card} GB':>9}" for card in CARDS_GB)
    lines = [f"largest micro_batch_frames that fits\n{'phase':12}{cards}"]
    for plan in plans:
        sizes = "".join(f"{plan.fits[card] or '-':>9}" for card in CARDS_GB)
        lines.append(f"{plan.name:12}{sizes}")
    return "\n".join(lines) + "\n"


def _time(
    plans: list[PhasePlan],
    chosen: Mapping[str, TrainingParams],
    speed: float | None,
) -> str:
    lines = []
    for plan in plans:
        if plan.num_steps is None or plan.audio_s is None:
            lines.append(f"{plan.name}: no data here yet; --hours tells how much there is")
            continue
        time = f", {clock(plan.audio_s / speed)} at {speed:g} audio s/s" if speed else ""
        lines.append(
            f"{plan.name}: {plan.num_steps} steps per epoch, {chosen[plan.name].epochs} epochs, "
            f"{plan.audio_s / 3600:.1f} h of audio{time}"
        )
    return "\n".join(lines)


def _measure(
    planner: Planner,
    chosen: Mapping[str, TrainingParams],
    plans: list[PhasePlan],
    common: CommonParams,
    frames: int,
) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    utterances = planner.utterances(frames)
    for plan in plans:
        measured = planner.measured(chosen[plan.name], common, utterances, device)
        off = plan.memory.peak / measured - 1
        print(
            f"{plan.name} on {device}: predicted {plan.memory.peak / GIB:.3g} GiB, measured "
            f"{measured / GIB:.3g} GiB ({off:+.1%})"
        )
