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
        print("Nothing is stale: `dvc repro` runs nothing.")
    if keep := [one for one in found if one.way == "keep"]:
        print("Only code changed:")
        _print_reasons(keep)
        print("If results do not change (CHANGELOG.md says it of an update), this keeps them:")
        _print_command("dvc commit --force", [one.name for one in keep if not one.follows])
    if bring := [one for one in found if one.way == "bring"]:
        print("Outputs are missing:")
        _print_reasons(bring)
        print("This brings them; then ask again:")
        _print_command("dvc pull", [one.name for one in bring if one.pull])
        _print_command("git checkout --", [path for one in bring for path in one.checkout])
    if ran := [one for one in found if one.way == "run"]:
        print("Params or data changed, or it never ran:")
        _print_reasons(ran)
        print("`dvc repro` runs these. Do not `dvc commit` them: old results would stand under")
        print("new values and data.")


def _print_command(command: str, arguments: list[str]) -> None:
    if arguments:
        print(f"  {command} {shlex.join(arguments)}")


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
    if one.pull or one.checkout:
        yield "outputs are not here as dvc.lock has them"
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
