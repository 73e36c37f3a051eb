"""The names of a run: which there are, and which checkpoint comes from which.

Of params.yaml as plain values, so that who asks for names depends on no other section's types.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from galgame_asr.core.params import plug_ins
from galgame_asr.core.paths import NOT_SPEECH
from galgame_asr.messages.errors import ConfigError

STEP = re.compile("[1-9][0-9]*")
Values = Mapping[str, Any]  # of params.yaml
NO_PROMPT = ("none",)  # of a baseline that knows none


@dataclass(frozen=True)
class Curriculum:
    """The checkpoints that were decoded, in the order of the report, and the phases behind them."""

    checkpoints: tuple[str, ...]
    prompts: tuple[str, ...]
    # The checkpoint each phase starts from, by phase.
    inits: Mapping[str, str]
    # The phase whose checkpoints an averaged model is the mean of, by its name.
    averaged: Mapping[str, str]
    # The checkpoint that an export was made of, by export/NAME.
    exports: Mapping[str, str] = field(default_factory=dict)
    # Other people's models and transcripts: the prompts that each knows, by its name.
    baselines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def variants(self) -> list[tuple[str, str]]:
        """(checkpoint or baseline, prompt) of each row of the report."""
        own = list(product(self.checkpoints, self.prompts))
        return own + [(name, p) for name, prompts in self.baselines.items() for p in prompts]

    def prompts_of(self, checkpoint: str) -> tuple[str, ...]:
        """The prompts that a checkpoint, or a baseline, was decoded with."""
        return self.baselines.get(checkpoint, self.prompts)

    def phases(self) -> list[tuple[str, str, str]]:
        """(phase, its init, its last checkpoint), for phases of which both were decoded."""
        found = []
        for phase, init in self.inits.items():
            last = f"{phase}/p100"
            if last in self.checkpoints and init in self.checkpoints:
                found.append((phase, init, last))
        return found

    def newest(self) -> str:
        """The last decoded checkpoint of the last phase that has one; without any, the first row.

        A mean or an export is made of a phase and is not it.
        """
        for phase in reversed(list(self.inits)):
            found = [name for name in self.checkpoints if name.rpartition("/")[0] == phase]
            if found:
                return max(found, key=self.position)
        return self.checkpoints[0]

    def previous(self, checkpoint: str) -> str | None:
        """What a checkpoint is compared with; None for the first row.

        A checkpoint of a phase with the one the phase started from, a mean with the
        end of its phase, an export with its checkpoint. Where that was not decoded, with
        the first row. A baseline with the newest.
        """
        if checkpoint in self.baselines:
            return self.newest()
        first = self.checkpoints[0]
        if checkpoint == first:
            return None
        if checkpoint in self.exports:
            previous = self.exports[checkpoint]
        elif checkpoint in self.averaged:
            previous = f"{self.averaged[checkpoint]}/p100"
        else:
            previous = self.inits.get(checkpoint.rpartition("/")[0], first)
        return previous if previous in self.checkpoints else first

    def position(self, checkpoint: str) -> float:
        """How many phases lie behind a checkpoint: 2.5 is in the middle of the third."""
        if checkpoint in self.exports:
            return self.position(self.exports[checkpoint])
        if checkpoint in self.averaged:
            return self.position(f"{self.averaged[checkpoint]}/p100")
        phase, _, name = checkpoint.rpartition("/")
        if phase not in self.inits:
            return 0.0
        return self.position(self.inits[phase]) + self._part(phase, name)

    def _part(self, phase: str, name: str) -> float:
        """How much of its phase lies behind a checkpoint.

        How many steps there were is not written in params, so that the last of those by step
        stands right before the end.
        """
        if name[0] == "p":
            return int(name[1:]) / 100
        by_step = [c.rpartition("/s")[2] for c in self.checkpoints if c.startswith(f"{phase}/s")]
        return 0.99 * int(name[1:]) / max(map(int, by_step))


def of_params(values: Values) -> Curriculum:
    """The curriculum that params.yaml describes."""
    phases, averages, exports = values["train"]["phases"], values["average"], values["export"]
    return Curriculum(
        tuple(values["decode"]["checkpoints"]),
        tuple(values["prompts"]),
        {name: phase["init"] for name, phase in phases.items()},
        {name: average["phase"] for name, average in averages.items()},
        {f"export/{name}": export["checkpoint"] for name, export in exports.items()},
        {name: tuple(b.get("prompts", NO_PROMPT)) for name, b in values["baselines"].items()},
    )


def check(values: Values) -> None:
    """Look at the names in one section that another defines.

    Raises:
        ConfigError: one is not there, or is taken; the message says what is.
    """
    phases, averages, exports = values["train"]["phases"], values["average"], values["export"]
    _check_corpora(values)
    checkpoints = {"base"} | {
        f"{name}/p{percent}" for name, phase in phases.items() for percent in phase["checkpoints"]
    }
    inits = {f"train.phases.{name}.init": [phase["init"]] for name, phase in phases.items()}
    averaged = {
        f"average.{name}": [f"{model['phase']}/p{percent}" for percent in model["checkpoints"]]
        for name, model in averages.items()
    }
    named = {
        *(name for names in inits.values() for name in names),
        *(export["checkpoint"] for export in exports.values()),
        *values["decode"]["checkpoints"],
        *values["audit"]["checkpoints"],
    }
    checkpoints |= {name for name in named if _is_by_step(name, phases)}
    for key, names in (inits | averaged).items():
        _refuse_unknown(key, names, checkpoints, "checkpoints")
    if taken := sorted({"base", "export", *phases} & set(averages)):
        raise ConfigError(f"average.{taken[0]} has the name of another folder in models/")
    if taken := sorted({"base", "export"} & set(phases)):
        raise ConfigError(f"train.phases.{taken[0]} has the name of another folder in models/")
    checkpoints |= set(averages)
    for name, export in exports.items():
        _refuse_unknown(f"export.{name}", [export["checkpoint"]], checkpoints, "checkpoints")
        prompt = export["verify"]["prompt"]
        _refuse_unknown(f"export.{name}.verify", [prompt], values["prompts"], "prompts")
    checkpoints |= {f"export/{name}" for name in exports}
    decoded = values["decode"]["checkpoints"]
    _refuse_unknown("decode.checkpoints", decoded, checkpoints, "checkpoints")
    if values["audit"]["corpora"]:
        _check_audit(values, checkpoints)
    if taken := sorted({"base", "export", *phases, *averages} & set(values["baselines"])):
        raise ConfigError(f"baselines.{taken[0]} has the name of a checkpoint's folder")
    variants = Counter("-".join(variant) for variant in of_params(values).variants())
    if twice := [name for name, count in variants.items() if count > 1]:
        raise ConfigError(
            "decode.checkpoints, baselines and prompts give two variants the name "
            f"{twice[0]}; change one"
        )


def _check_audit(values: Values, checkpoints: Iterable[str]) -> None:
    audit = values["audit"]
    _refuse_unknown("audit.checkpoints", audit["checkpoints"], checkpoints, "checkpoints")
    _refuse_unknown("audit.prompt", [audit["prompt"]], values["prompts"], "prompts")
    _refuse_unknown("audit.corpora", audit["corpora"], values["corpora"], "corpora")
    if not audit["checkpoints"]:
        raise ConfigError("audit.corpora has corpora and audit.checkpoints no model: name one")


def _is_by_step(name: str, phases: Mapping[str, Any]) -> bool:
    """Whether it is a checkpoint that its phase's `every_steps` saves, if it is that long."""
    phase, _, step = name.rpartition("/s")
    every = phases.get(phase, {}).get("every_steps")
    return bool(every) and bool(STEP.fullmatch(step)) and int(step) % every == 0


def _check_corpora(values: Values) -> None:
    """Every corpus that a section names is one."""
    used = {
        "split.out_of_domain": values["split"]["out_of_domain"],
        "split.exceptions": values["split"]["exceptions"],
        "manifest.charset": values["manifest"]["charset"],
        "manifest.clean": values["manifest"]["clean"],
        "score.groups": values["score"]["groups"],
    }
    trained = {f"train.phases.{name}": phase for name, phase in values["train"]["phases"].items()}
    for kind, recipe in values["base"]["built"].items():
        if recipe:
            trained[f"base.built.{kind}.pretrain"] = recipe["pretrain"]
            used[f"base.built.{kind}.texts"] = recipe["texts"]
    used |= {f"{key}.mix": phase["mix"] for key, phase in trained.items()}
    for key, names in used.items():
        _refuse_unknown(key, names, values["corpora"], "corpora")
    known = {*values["corpora"], *plug_ins("galgame_asr.corpora")}
    for key, phase in trained.items():
        _check_noise(key, phase, values["corpora"])
    _refuse_unknown(
        "manifest.exceptions", values["manifest"]["exceptions"], known, "corpora and kinds"
    )


def _check_noise(key: str, phase: Values, corpora: Values) -> None:
    """A phase that augments by noise has some in its mix."""
    is_asked = (phase.get("augment") or {}).get("noise")
    if is_asked and not any(is_without_speech(corpora[name]) for name in phase["mix"]):
        raise ConfigError(
            f"{key}.augment.noise takes its clips from the corpora of the mix that are not_speech, "
            "and it has none: add one, such as {bgm: 0.0}"
        )


def is_without_speech(corpus: Values) -> bool:
    """Whether an entry of `corpora` brings music or noise, and perhaps nothing else."""
    is_so = corpus.get(NOT_SPEECH) or corpus.get("recipe") == "noise"
    return bool(is_so) or NOT_SPEECH in (corpus.get("splits") or {}).values()


def _refuse_unknown(key: str, names: Iterable[str], known: Iterable[str], what: str) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ConfigError(f"{key} names {', '.join(unknown)}; {what}: {', '.join(sorted(known))}")
