"""`galgame-asr report`: the report page beside another revision."""

import argparse
from pathlib import Path

from galgame_asr.core.files import refuse_unwritable
from galgame_asr.core.params import parse, read_params


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser("report", help="the report page beside another revision")
    command.add_argument(
        "--compare", required=True, metavar="REV", help="a branch, tag, commit or experiment"
    )
    command.add_argument("--output", type=Path, metavar="FILE", help="report-REV.html")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write the page, and print what really changed."""
    from galgame_asr.experiment import curriculum
    from galgame_asr.experiment.params import Params
    from galgame_asr.report import against

    output = options.output or Path(f"report-{options.compare.replace('/', '-')}.html")
    refuse_unwritable(output)
    values = read_params()
    parse(Params, values, "")
    for line in against.write(options.compare, curriculum.of_params(values), output):
        print(line)
