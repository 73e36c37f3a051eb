"""`galgame-asr stale`: what DVC would run, why, and how to keep what need not run."""

import argparse
import shlex
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from galgame_asr.experiment.stale import Code, Stale


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    command = commands.add_parser(
        "stale", help="what `dvc repro` would run, why, and how to keep what need not run"
    )
    command.set_defaults(run=run)


def run(_options: argparse.Namespace) -> None:
    """Print the stages by the way to go with them."""
    from galgame_asr.experiment import stale

    found = stale.find()
    if not found:
        print("nothing is stale: `dvc repro` runs nothing")
    if here := [one for one in found if one.way == "keep"]:
        print("code changed, params and data did not:")
        _print_reasons(here)
        print("If the results do not change (CHANGELOG.md says so of an update), keep them:")
        own = [one.name for one in here if not one.follows]
        print(f"  {shlex.join(['dvc', 'commit', '--force', *own])}")
    if here := [one for one in found if one.way == "bring"]:
        print("outputs are not here as dvc.lock has them:")
        _print_reasons(here)
        print("Bring them, then ask again:")
        if paths := dict.fromkeys(path for one in here for path in one.pull):
            print(f"  {shlex.join(['dvc', 'pull', *paths])}")
        if paths := dict.fromkeys(path for one in here for path in one.checkout):
            print(f"  {shlex.join(['git', 'checkout', '--', *paths])}")
    if here := [one for one in found if one.way == "run"]:
        print("params or data changed, or it never ran:")
        _print_reasons(here)
        print("`dvc repro` runs these. Do not commit them: dvc.lock would name inputs that their")
        print("results do not come from.")


def _print_reasons(stages: "Iterable[Stale]") -> None:
    """Print stages that have the same reasons together, and last those that only follow."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for one in stages:
        groups.setdefault(tuple(_reasons(one)), []).append(one.name)
    follow = groups.pop((), [])
    for reasons, names in groups.items():
        print(f"  {', '.join(names)}")
        for reason in reasons:
            print(f"    {reason}")
    if follow:
        print(f"  follow: {', '.join(follow)}")


def _reasons(one: "Stale") -> Iterator[str]:
    if not one.ran:
        yield "never ran"
    for param in one.params:
        yield f"{param.key}: {param.old} -> {param.new}"
    for path in one.data:
        yield f"{path}: other data"
    for path in (*one.pull, *one.checkout):
        yield f"{path}: not here, or not as in dvc.lock"
    if one.command:
        yield f"command: {one.command[0]} -> {one.command[1]}"
    for code in one.code:
        yield _code(code)


def _code(code: "Code") -> str:
    """A folder, its changed files and since when."""
    if not code.files:
        return code.path
    files = [file.removeprefix(f"{code.path}/") for file in code.files if file != code.path]
    return f"{code.path}{': ' * bool(files)}{', '.join(files)} (since {code.commit})"
