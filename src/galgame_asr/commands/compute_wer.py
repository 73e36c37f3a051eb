"""`galgame-asr compute-wer`: the seed's figures, to compare with published ones."""

import argparse
from pathlib import Path


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser(
        "compute-wer", help="the figures of `compute-wer -c` 0.2.3, to compare with published ones"
    )
    command.add_argument("references", type=Path, help="lines of an id and a normalised text")
    command.add_argument("hypotheses", type=Path, help="the same of what was decoded")
    command.add_argument(
        "--corpus",
        metavar="NAME",
        help="the hypotheses are data/decoded/VARIANT.jsonl, of it the test rows of this corpus",
    )
    command.add_argument(
        "--normalise", action="store_true", help="the texts are raw: normalise them as the seed did"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the figures."""
    from galgame_asr.scoring import compute_wer, sides

    references, hypotheses = sides.read(options.references, options.hypotheses, options.corpus)
    if options.normalise:
        from galgame_asr.scoring.seed import seed_normalise

        references, hypotheses = seed_normalise(references), seed_normalise(hypotheses)
    print(compute_wer.count(zip(references, hypotheses, strict=True)))
