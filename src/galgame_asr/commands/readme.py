"""`galgame-asr readme`: tables and pictures of the run in README.md and docs/."""

import argparse
from pathlib import Path

from galgame_asr.core.paths import MACHINE


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    command = commands.add_parser(
        "readme", help="write the run's tables and pictures into README.md and docs/"
    )
    command.set_defaults(run=run)


def run(_options: argparse.Namespace) -> None:
    """Write what the pages show of metrics/."""
    from galgame_asr.report import readme

    readme.update(Path(), MACHINE)
