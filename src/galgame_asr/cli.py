"""The `galgame-asr` command."""

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from galgame_asr.core import params, utterances
from galgame_asr.core.console import run
from galgame_asr.core.paths import MACHINE, METRICS, MODELS, RAW, SETS, SPLIT
from galgame_asr.core.reader import ShardReader
from galgame_asr.experiment import profile, storage
from galgame_asr.families.common.params import Prompt
from galgame_asr.report import readme
from galgame_asr.scoring import compute_wer
from galgame_asr.scoring.utterances import check_ids


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

    command = commands.add_parser("profile", help="write profiles/NAME.yaml over params.yaml")
    command.add_argument("name", metavar="NAME")
    command.set_defaults(run=_profile)

    command = commands.add_parser("fsck", help="compare a remote with what the outputs need")
    command.add_argument("--remote", help="its name in .dvc/config; the default one if not given")
    command.add_argument("--all-commits", action="store_true", help="what any commit needs")
    command.add_argument("--repair", action="store_true", help="upload from the cache")
    command.set_defaults(run=_fsck)

    command = commands.add_parser("jsonl", help="write a set for FunASR's own trainer")
    command.add_argument("set", choices=SETS, metavar="SET", help=", ".join(SETS))
    command.add_argument("directory", type=Path, metavar="DIR", help="a new folder")
    command.add_argument("--prompt", required=True, help="one of params.yaml's prompts")
    command.add_argument("--model", type=Path, default=MODELS / "base", help="models/base")
    command.set_defaults(run=_jsonl)

    command = commands.add_parser(
        "plan", help="parameters, memory, steps and time of each phase, before a GPU is rented"
    )
    command.add_argument("--precision", choices=("bf16", "float32"), default="bf16")
    command.add_argument("--utterance-s", type=float, default=5.1, help="average duration, 5.1")
    command.add_argument("--text-tokens", type=int, default=20, help="average text, 20")
    command.add_argument("--batch-frames", type=int, help="instead of train.common.batch_frames")
    command.add_argument("--hours", type=float, default=0.0, help="of audio per epoch")
    command.add_argument("--speed", type=float, help="audio seconds per second, for the time")
    command.add_argument("--phase", help="this one alone")
    command.add_argument(
        "--measure", action="store_true", help="also do a real step here, with random weights"
    )
    command.set_defaults(run=_plan)

    command = commands.add_parser(
        "compute-wer", help="the figures of `compute-wer -c` 0.2.3, to compare with published ones"
    )
    command.add_argument("references", type=Path, help="lines of an id and a normalised text")
    command.add_argument("hypotheses", type=Path, help="the same of what was decoded")
    command.add_argument(
        "--normalise", action="store_true", help="the texts are raw: normalise them as the seed did"
    )
    command.set_defaults(run=_compute_wer)

    command = commands.add_parser("report", help="the report page beside another revision")
    command.add_argument(
        "--compare", required=True, metavar="REV", help="a branch, tag, commit or experiment"
    )
    command.add_argument("--output", type=Path, metavar="FILE", help="report-REV.html")
    command.set_defaults(run=_report)

    _add_recordings(commands)
    _add_publish(commands)

    command = commands.add_parser("readme", help="write the result tables into README.md")
    command.set_defaults(run=_readme)

    return parser


def _add_recordings(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Commands `transcribe` and `subtitle`."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("files", type=Path, nargs="+", metavar="FILE", help="audio or video")
    shared.add_argument(
        "--model", type=Path, metavar="DIR", help="the last of decode.checkpoints that is no export"
    )
    shared.add_argument(
        "--prompt", metavar="NAME", help="one of params.yaml's prompts; the last, if not given"
    )
    shared.add_argument(
        "--hotwords", nargs="+", default=[], metavar="WORD", help="to expect, such as names"
    )
    shared.add_argument("--output", type=Path, metavar="PATH", help="a file, or a folder")
    shared.add_argument("--force", action="store_true", help="replace files that are there")

    command = commands.add_parser(
        "transcribe", parents=[shared], help="what is said in audio and video files"
    )
    command.add_argument("--format", choices=("text", "jsonl"), default="text")
    command.set_defaults(run=lambda options: _recordings().transcribe(options))

    command = commands.add_parser(
        "subtitle", parents=[shared], help="subtitles of audio and video files, beside them"
    )
    command.add_argument("--format", choices=("srt", "vtt", "ass"), required=True)
    command.add_argument(
        "--line-width", type=float, metavar="N", help="full-width characters of a line, 20"
    )
    command.add_argument(
        "--reading-speed", type=float, metavar="N", help="letters a second that viewers read, 10"
    )
    command.add_argument(
        "--guard",
        choices=("drop", "mark", "keep"),
        default="drop",
        help="what happens to texts that the model likely made up: loops, and faster than speech",
    )
    command.set_defaults(run=lambda options: _recordings().subtitle(options))


def _add_publish(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Command `publish`."""
    command = commands.add_parser(
        "publish", help="write the model card of an export; with --push upload both"
    )
    command.add_argument("name", metavar="NAME", help="of the export in params.yaml")
    command.add_argument("--repo", required=True, metavar="USER/MODEL", help="on the hub")
    command.add_argument("--push", action="store_true", help="upload, instead of only telling")
    who = command.add_mutually_exclusive_group()
    who.add_argument("--private", action="store_true", default=True, help="the default")
    who.add_argument("--public", dest="private", action="store_false", help="for everybody")
    command.add_argument(
        "--license", metavar="ID", help="of the model, where its corpora's terms do not decide"
    )
    command.add_argument(
        "--base-license", metavar="ID", help="of the published model that it comes from"
    )
    command.set_defaults(run=_publish)


def _recordings() -> ModuleType:
    # Torch takes seconds to import, and PyAV and more are of an extra.
    return importlib.import_module("galgame_asr.recordings")


def _profile(options: argparse.Namespace) -> None:
    keys = profile.apply(options.name)
    print(f"params.yaml now holds profile {options.name}: {', '.join(keys)}")
    print("`dvc repro` runs it; `git checkout params.yaml` goes back")


def _fsck(options: argparse.Namespace) -> None:
    storage.check(options.remote, all_commits=options.all_commits, repair=options.repair)


def _jsonl(options: argparse.Namespace) -> None:
    # Torch and funasr take seconds to import, which the other commands need not wait for.
    jsonl = importlib.import_module("galgame_asr.experiment.jsonl")
    prompt = params.load(Prompt, f"prompts.{options.prompt}")
    rows = utterances.read(SPLIT / f"{options.set}.parquet")
    jsonl.write(rows, ShardReader(RAW), options.model, prompt, options.directory)


def _plan(options: argparse.Namespace) -> None:
    importlib.import_module("galgame_asr.planning.show").show(options)


def _compute_wer(options: argparse.Namespace) -> None:
    texts = [compute_wer.read_scp(path) for path in (options.references, options.hypotheses)]
    check_ids(*texts)
    ids = sorted(texts[0])
    sides = [[side[id_] for id_ in ids] for side in texts]
    if options.normalise:
        seed = importlib.import_module("galgame_asr.scoring.seed")  # of an extra
        sides = [seed.seed_normalise(side) for side in sides]
    print(compute_wer.count(zip(*sides, strict=True)))


def _report(options: argparse.Namespace) -> None:
    # Matplotlib and the parameters of all stages take a second to import.
    whole = importlib.import_module("galgame_asr.experiment.params")
    curriculum = importlib.import_module("galgame_asr.experiment.curriculum")
    against = importlib.import_module("galgame_asr.report.against")
    output = options.output or Path(f"report-{options.compare.replace('/', '-')}.html")
    values = params.parse(whole.Params, params.read_yaml(params.PARAMS_FILE), "")
    for line in against.write(options.compare, curriculum.of_params(values), output):
        print(line)


def _publish(options: argparse.Namespace) -> None:
    # DVC and the hub's client take a second to import.
    publish = importlib.import_module("galgame_asr.publishing.publish")
    ready = publish.prepare(
        options.name,
        options.repo,
        private=options.private,
        licence=options.license,
        base_licence=options.base_license,
    )
    for name, size in ready.sizes.items():
        print(f"{size / 1e6:10.3f} MB  {name}")
    print(f"card: {ready.card}")
    print(f"licence: {ready.licence.name or ready.licence.id}")
    for warning in ready.warnings:
        print(f"warning: {warning}")
    readers = "you and who you let in" if options.private else "everybody, for good: copies stay"
    kind = "private" if options.private else "public"
    size = sum(ready.sizes.values()) / 1e6
    what = f"{len(ready.files)} files, {size:.1f} MB, in one commit to the {kind} {ready.repo}"
    if not options.push:
        print(f"Nothing was uploaded. --push would upload {what}, making it if it is not there,")
        print(f"replacing files of the same names; it can be read by {readers}.")
        return
    print(f"uploading {what}; it can be read by {readers}")
    print(f"published: {publish.push(ready)}")


def _readme(_options: argparse.Namespace) -> None:
    readme.update(Path("README.md"), METRICS / "report.md", MACHINE)
