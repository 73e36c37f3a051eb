"""`galgame-asr profile`: the values of a real run, written into params.yaml."""

import argparse

from galgame_asr.experiment import profile


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser("profile", help="write profiles/NAME.yaml over params.yaml")
    command.add_argument("names", metavar="NAME", nargs="+", help="several: one over the other")
    command.add_argument(
        "--rehearse", action="store_true",
        help="the same stages and sizes on a few rendered utterances (see `make rehearsal`)",
    )  # fmt: skip
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Apply the profile, and say what it changed."""
    name = " and ".join(options.names)
    if options.rehearse:
        from galgame_asr.experiment.rehearsal import rehearse

        said: list[str] = []
        profile.apply(options.names, change=lambda values: said.append(rehearse(values)))
        print(f"params.yaml now holds a rehearsal of profile {name}: {said[0]}")
    else:
        keys = profile.apply(options.names)
        print(f"params.yaml now holds profile {name}: {', '.join(keys)}")
    print("`dvc repro` runs it; `git checkout params.yaml` goes back")
