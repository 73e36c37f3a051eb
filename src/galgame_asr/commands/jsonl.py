"""`galgame-asr jsonl`: a set for FunASR's own trainer."""

import argparse
from pathlib import Path

from galgame_asr.core.params import hint, load
from galgame_asr.core.paths import MODELS, RAW, SETS, SPLIT
from galgame_asr.families.common.params import Prompts
from galgame_asr.messages.errors import ConfigError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its arguments."""
    command = commands.add_parser("jsonl", help="write a set for FunASR's own trainer")
    command.add_argument("set", choices=SETS, metavar="SET", help=", ".join(SETS))
    command.add_argument("directory", type=Path, metavar="DIR", help="a new folder")
    command.add_argument("--prompt", required=True, help="one of params.yaml's prompts")
    command.add_argument("--model", type=Path, default=MODELS / "base", help="models/base")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write the set."""
    from galgame_asr.core import utterances
    from galgame_asr.core.reader import ShardReader
    from galgame_asr.experiment import jsonl

    prompts = load(Prompts, "prompts")
    if options.prompt not in prompts:
        raise ConfigError(f"no prompt '{options.prompt}'. {hint(options.prompt, list(prompts))}")
    rows = utterances.read(SPLIT / f"{options.set}.parquet")
    jsonl.write(rows, ShardReader(RAW), options.model, prompts[options.prompt], options.directory)
