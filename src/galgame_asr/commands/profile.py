"""`galgame-asr profile`: the values of a real run, written into params.yaml."""

import argparse

from galgame_asr.experiment import profile


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser("profile", help="write profiles/NAME.yaml over params.yaml")
    command.add_argument("name", metavar="NAME")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Apply the profile, and say what it changed."""
    keys = profile.apply(options.name)
    print(f"params.yaml now holds profile {options.name}: {', '.join(keys)}")
    print("`dvc repro` runs it; `git checkout params.yaml` goes back")
