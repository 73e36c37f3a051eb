"""`galgame-asr scratch`: unfinished work, which a run with the same values goes on with."""

import argparse
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from galgame_asr.training.resume import Unfinished


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    command = commands.add_parser(
        "scratch",
        help="list unfinished training and audits, size and values, and remove what is named",
    )
    command.add_argument("--remove", nargs="+", metavar="NAME", default=[], help="as listed")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """List unfinished work, or remove some.

    Raises:
        ConfigError: there is none of that name.
        DataError: a process is working on it.
    """
    from galgame_asr.core.files import locked, remove
    from galgame_asr.core.params import hint
    from galgame_asr.messages.errors import ConfigError
    from galgame_asr.training import resume

    found = {work.name: work for work in resume.unfinished()}
    for name in options.remove:
        if name not in found:
            raise ConfigError(f"no unfinished work '{name}'. {hint(name, list(found))}")
    for name in options.remove:
        directory = found[name].directory
        with locked(directory):
            remove(directory)
        print(f"removed {name}")
    if not options.remove:
        print("\n".join(_lines(list(found.values()))) or "No unfinished work.")


def _lines(found: "list[Unfinished]") -> list[str]:
    """A line for each; below it its checkpoints, and how its values differ."""
    from galgame_asr.families.common.defaults import FILE

    lines = []
    for work in found:
        lines.append(f"{work.name}  step {work.step}, {work.size_bytes / 1e6:.0f} MB")
        models = sorted(file.parent for file in work.directory.glob(f"[!.]*/{FILE}"))
        siblings = [one.plain for one in found if one.directory.parent == work.directory.parent]
        lines += [f"    {line}" for line in (*map(str, models), *_values(work, siblings))]
    return lines


def _values(work: "Unfinished", siblings: list[dict[str, str]]) -> list[str]:
    """What params.yaml would have to have for a run to go on with it.

    Of what is no phase of params.yaml: values that not all of its stage share; if it is alone, all.
    """
    from galgame_asr.training.resume import differences

    stage = work.directory.parent.name
    now = _now(stage)
    if now is None:
        return [
            f"{name}: {value}"
            for name, value in work.plain.items()
            if len(siblings) == 1 or len(Counter(other.get(name) for other in siblings)) > 1
        ]
    return differences(work.plain, now) or [
        f"has the values of params.yaml: `dvc repro {stage}` goes on, if data and code are the same"
    ]


def _now(stage: str) -> dict[str, str] | None:
    """The values that a phase would be trained with now; None if params.yaml has no such phase."""
    from galgame_asr.base.built import BuiltBase
    from galgame_asr.core.params import load
    from galgame_asr.families.common.params import ComputeParams, ModelParams
    from galgame_asr.messages.errors import ConfigError
    from galgame_asr.training.depends import depends
    from galgame_asr.training.params import CommonParams, PhaseParams
    from galgame_asr.training.resume import plain

    kind, _, name = stage.partition("@")
    try:
        family, common = load(ModelParams, "model").family, load(CommonParams, "train.common")
        compute = load(ComputeParams, "compute")
        if kind == "train":
            phase = load(PhaseParams, f"train.phases.{name}")
            checkpoints, every = phase.checkpoints, phase.every_steps
            return plain(depends(family, phase, common, compute, checkpoints, every))
        recipe = load(BuiltBase, "base.built").recipe if kind == "build" else None
    except ConfigError:
        return None
    return plain(depends(family, recipe.pretrain, common, compute, (100,))) if recipe else None
