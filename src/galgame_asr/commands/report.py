"""`galgame-asr report`: the page beside other results or with speeds; results to hand on."""

import argparse
from pathlib import Path

from galgame_asr.core.files import refuse_unwritable
from galgame_asr.core.params import parse, read_params
from galgame_asr.messages.errors import ConfigError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser(
        "report", help="the report page beside other results or with speeds; results to hand on"
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--compare",
        metavar="REV",
        help="a branch, tag, commit or experiment, or a results file of another person (FILE.json)",
    )
    what.add_argument(
        "--speed", action="store_true", help="how fast each variant was decoded, beside its CER"
    )
    what.add_argument(
        "--export",
        type=Path,
        metavar="FILE.json",
        help="write counts of every utterance and variant, without texts and ids, for another "
        "person to compare with",
    )
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="report-REV.html or report-speed.html"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write the page and print what it is about, or write the results file."""
    from galgame_asr.experiment import curriculum
    from galgame_asr.experiment.params import Params
    from galgame_asr.report import against, speeds

    if options.export and options.output:
        raise ConfigError("--output names the page of --compare: --export names its own file")
    if options.export and options.export.suffix != against.RESULTS_FILE:
        raise ConfigError(f"{options.export}: the name of a results file ends in .json")
    name = "speed" if options.speed else _name(options.compare or "")
    output = options.export or options.output or Path(f"report-{name}.html")
    refuse_unwritable(output)
    values = read_params()
    parse(Params, values, "")
    found = curriculum.of_params(values)
    if options.export:
        said = against.export(found, output)
    elif options.speed:
        said = [speeds.write(found, output)]
    else:
        said = against.write(options.compare, found, output)
    for line in said:
        print(line)


def _name(other: str) -> str:
    """Of a revision or a results file, as part of a file's name."""
    return (Path(other).stem if other.endswith(".json") else other).replace("/", "-")
