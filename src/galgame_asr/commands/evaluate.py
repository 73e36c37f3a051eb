"""`galgame-asr evaluate`: what the report would say of any model directory, on any set."""

import argparse
from pathlib import Path


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser(
        "evaluate",
        help="decode and score any model directory, also of a phase that still runs",
        description="Decode and score a model directory as stages decode and score would, by the "
        "sections decode, prompts, score, compute and machine of params.yaml. DVC, git and a phase "
        "that still runs notice nothing.",
    )
    command.add_argument(
        "directory",
        type=Path,
        metavar="DIR",
        help="models/PHASE/pNN, models/export/NAME, a checkpoint that `galgame-asr scratch` lists, "
        "or any other",
    )
    command.add_argument(
        "--set",
        nargs="+",
        default=["dev"],
        metavar="SET",
        help="train, dev, dev_sample, test, ood, or a parquet file with the columns of data/split; "
        "dev if not given",
    )
    command.add_argument(
        "--prompt", nargs="+", metavar="NAME", help="of params.yaml's prompts; all if not given"
    )
    command.add_argument(
        "--limit", type=int, metavar="N", help="rows of each set, those of split.test_limit"
    )
    command.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), help="instead of compute.device"
    )
    command.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        required=True,
        help="a new folder for transcripts, scored utterances and figures of each prompt",
    )
    command.add_argument(
        "--against",
        type=Path,
        metavar="PATH",
        help="compare with an earlier --output, or with data/scored/CHECKPOINT",
    )
    command.add_argument("--force", action="store_true", help="replace an earlier --output")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write the results, and print their figures."""
    from galgame_asr.report import evaluation

    print(evaluation.evaluate(options))
