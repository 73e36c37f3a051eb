"""`galgame-asr report`: the report page beside another revision, or with speed and size."""

import argparse
from pathlib import Path

from galgame_asr.core.files import refuse_unwritable
from galgame_asr.core.params import parse, read_params


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    text = "the report page beside another revision, or with speed and size"
    command = commands.add_parser("report", help=text)
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--compare", metavar="REV", help="a branch, tag, commit or experiment")
    what.add_argument(
        "--speed", action="store_true", help="how fast each variant was decoded, beside its CER"
    )
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="report-REV.html or report-speed.html"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write the page, and print what really changed or the speeds."""
    from galgame_asr.experiment import curriculum
    from galgame_asr.experiment.params import Params
    from galgame_asr.report import against, speeds

    name = "speed" if options.speed else options.compare.replace("/", "-")
    output = options.output or Path(f"report-{name}.html")
    refuse_unwritable(output)
    values = read_params()
    parse(Params, values, "")
    if options.speed:
        print(speeds.write(curriculum.of_params(values), output))
        return
    for line in against.write(options.compare, curriculum.of_params(values), output):
        print(line)
