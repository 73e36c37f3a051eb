"""`galgame-asr plan`: what to rent for a run, for how long, and with how much disk."""

import argparse


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser(
        "plan", help="what to rent for a run: which card, for how many hours, with how much disk"
    )
    command.add_argument(
        "--precision",
        choices=("bf16", "fp16", "float32"),
        help="bf16; with --measure, compute.precision of params.yaml",
    )
    command.add_argument("--utterance-s", type=float, help="average duration, 5.1")
    command.add_argument("--text-tokens", type=int, help="average text, 20")
    command.add_argument(
        "--micro-batch-frames", type=int, help="instead of machine.micro_batch_frames"
    )
    command.add_argument("--processes", type=int, help="cards, instead of machine.processes")
    command.add_argument(
        "--hours",
        type=float,
        default=0.0,
        help="of audio per epoch; otherwise those of the data here, or what is published of it",
    )
    command.add_argument(
        "--speed", type=float, help="seconds of audio per second, all cards together"
    )
    command.add_argument("--phase", help="this one alone")
    command.add_argument(
        "--measure",
        action="store_true",
        help="also do real steps here, with random weights: memory and speed",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the plan."""
    from galgame_asr.planning import show

    show.show(options)
