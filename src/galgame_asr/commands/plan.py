"""`galgame-asr plan`: what each phase will need, before a GPU is rented."""

import argparse


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser(
        "plan", help="parameters, memory, steps and time of each phase, before a GPU is rented"
    )
    command.add_argument("--precision", choices=("bf16", "fp16", "float32"), default="bf16")
    command.add_argument("--utterance-s", type=float, default=5.1, help="average duration, 5.1")
    command.add_argument("--text-tokens", type=int, default=20, help="average text, 20")
    command.add_argument(
        "--micro-batch-frames", type=int, help="instead of machine.micro_batch_frames"
    )
    command.add_argument("--hours", type=float, default=0.0, help="of audio per epoch")
    command.add_argument("--speed", type=float, help="audio seconds per second, for the time")
    command.add_argument("--phase", help="this one alone")
    command.add_argument(
        "--measure", action="store_true", help="also do a real step here, with random weights"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the plan."""
    from galgame_asr.planning import show

    show.show(options)
