"""`galgame-asr fsck`: does the remote hold what the outputs need?"""

import argparse


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser("fsck", help="compare a remote with what the outputs need")
    command.add_argument("--remote", help="its name in .dvc/config; the default one if not given")
    command.add_argument("--all-commits", action="store_true", help="what any commit needs")
    command.add_argument("--repair", action="store_true", help="upload from the cache")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Compare; the report goes to the log."""
    from galgame_asr.experiment import storage

    storage.check(options.remote, all_commits=options.all_commits, repair=options.repair)
