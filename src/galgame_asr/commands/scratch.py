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
    """One line each; below it its checkpoints, and values that not all of its stage share."""
    from galgame_asr.families.common.defaults import FILE

    lines = []
    for work in found:
        lines.append(f"{work.name}  step {work.step}, {work.size_bytes / 1e6:.0f} MB")
        models = sorted(file.parent for file in work.directory.glob(f"[!.]*/{FILE}"))
        lines += [f"    {model}" for model in models]
        siblings = [w.depends for w in found if w.directory.parent == work.directory.parent]
        for name, value in work.depends.items():
            hashed = name == "code" or name.startswith("input ")
            if not hashed and len(Counter(depends.get(name) for depends in siblings)) > 1:
                lines.append(f"    {name}: {value}")
    return lines
