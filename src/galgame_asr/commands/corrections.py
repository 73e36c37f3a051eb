"""`galgame-asr corrections`: what people decided about labels, checked and merged."""

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from galgame_asr.manifests.corrections import Correction

LATEST = 10  # decisions shown


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    command = commands.add_parser(
        "corrections", help="what people decided about labels; check it, or merge another's file"
    )
    task = command.add_mutually_exclusive_group()
    task.add_argument(
        "--check", action="store_true", help="hold the decisions against data/manifest"
    )
    task.add_argument(
        "--merge", type=Path, metavar="FILE", help="add another person's decisions to --corpus"
    )
    command.add_argument("--corpus", metavar="NAME", help="the corpus that --merge is about")
    prefer = command.add_mutually_exclusive_group()
    for side, whose in (("ours", "those that are here"), ("theirs", "those of FILE")):
        prefer.add_argument(
            f"--{side}", dest="prefer", action="store_const", const=side,
            help=f"where two decisions differ, {whose} count",
        )  # fmt: skip
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Show, check or merge.

    Raises:
        ConfigError: options that do not go together, or an unknown corpus.
        DataError: a file cannot be read, a check found something, or two decisions differ.
    """
    from galgame_asr.messages.errors import ConfigError

    if (options.corpus is None) == (options.merge is not None) or (
        options.prefer and options.merge is None
    ):
        raise ConfigError("--merge FILE and --corpus NAME go together; --ours and --theirs with it")
    if options.merge is not None:
        _merge(options)
    elif options.check:
        _check()
    else:
        _show()


def _show() -> None:
    """Print counts by corpus and kind, and what was decided last."""
    from galgame_asr.experiment.corrections import said
    from galgame_asr.manifests.corrections import FOLDER, latest, read

    found: list[tuple[str, Correction]] = []
    for path in sorted(FOLDER.glob("*.tsv")):
        decisions = read(path)
        kinds = Counter(one.what for one in latest(decisions).values())
        counts = ", ".join(f"{kinds[what]} {what}" for what in ("text", "drop", "keep"))
        print(f"{path.stem}: {counts}; {len(decisions)} lines")
        found += [(path.stem, one) for one in decisions]
    if not found:
        print(f"No decisions in {FOLDER}/.")
    for corpus, one in sorted(found, key=lambda pair: pair[1].when)[-LATEST:]:
        print(f"{one.when}  {one.by}  {corpus} {one.id}  {said(one)}")


def _check() -> None:
    """Print all that is wrong with the decisions about the corpora of params."""
    from galgame_asr.core.params import load
    from galgame_asr.experiment.corrections import problems
    from galgame_asr.manifests.corrections import FOLDER
    from galgame_asr.messages.errors import DataError

    corpora = load(dict[str, object], "corpora")
    wrong = 0
    for name in (path.stem for path in sorted(FOLDER.glob("*.tsv"))):
        if name not in corpora:
            print(f"{FOLDER}/{name}.tsv: no corpus of params.yaml has this name; not checked")
            continue
        for line in problems(name):
            print(line)
            wrong += 1
    if wrong:
        raise DataError(f"{wrong} decisions cannot be carried out; see above")
    print("Every decision is about an utterance and a label that are there.")


def _merge(options: argparse.Namespace) -> None:
    from galgame_asr.core.params import hint, load
    from galgame_asr.experiment.corrections import merge
    from galgame_asr.manifests.corrections import change, path_of, read
    from galgame_asr.messages.errors import ConfigError

    corpora = load(dict[str, object], "corpora")
    if options.corpus not in corpora:
        raise ConfigError(
            f"--corpus {options.corpus}: no such corpus. {hint(options.corpus, list(corpora))}"
        )
    if not options.merge.is_file():
        raise ConfigError(f"--merge {options.merge}: there is no such file")
    theirs, path = read(options.merge), path_of(options.corpus)
    counts: list[int] = []

    def merged(ours: "list[Correction]") -> "list[Correction]":
        both = merge(ours, theirs, options.prefer)
        counts.append(len(both) - len(ours))
        return both

    change(path, merged)
    print(f"{path} has {counts[0]} more lines; `galgame-asr corrections --check` checks them")
