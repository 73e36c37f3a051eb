"""`galgame-asr readme`: the result tables in README.md."""

import argparse
from pathlib import Path

from galgame_asr.core.paths import MACHINE, METRICS


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    command = commands.add_parser("readme", help="write the result tables into README.md")
    command.set_defaults(run=run)


def run(_options: argparse.Namespace) -> None:
    """Write the tables of metrics/report.md into README.md."""
    from galgame_asr.report import readme

    readme.update(Path("README.md"), METRICS / "report.md", MACHINE)
