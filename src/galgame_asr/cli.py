"""The `galgame-asr` command."""

import argparse
from collections.abc import Sequence

from galgame_asr.commands import (
    audit,
    compute_wer,
    corrections,
    evaluate,
    fsck,
    jsonl,
    label,
    plan,
    profile,
    publish,
    readme,
    recordings,
    report,
    scratch,
    stale,
)
from galgame_asr.messages.console import run

# In the order of --help.
COMMANDS = (
    profile, stale, scratch, fsck, corrections, jsonl, plan, evaluate, compute_wer, audit, label,
    report, recordings, publish, readme,
)  # fmt: skip


def main() -> None:
    """Entry point of the installed command."""
    run(dispatch)


def dispatch(arguments: Sequence[str]) -> None:
    """Parse arguments and run the command they name."""
    options = make_parser().parse_args(arguments)
    options.run(options)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; `run` of what it returns takes the options."""
    parser = argparse.ArgumentParser(prog="galgame-asr", description=__doc__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
