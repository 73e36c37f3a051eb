"""`galgame-asr transcribe` and `subtitle`: whole audio and video files."""

import argparse
from pathlib import Path


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add both commands and their arguments."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("files", type=Path, nargs="+", metavar="FILE", help="audio or video")
    shared.add_argument(
        "--model", type=Path, metavar="DIR", help="the last of decode.checkpoints that is no export"
    )
    shared.add_argument(
        "--prompt",
        metavar="NAME",
        help="one of params.yaml's prompts; the first that the model was trained with, if not "
        "given",
    )
    shared.add_argument(
        "--language", metavar="LANGUAGE", help="that is spoken, as the model names it: 日文, ja"
    )
    shared.add_argument(
        "--hotwords", nargs="+", default=[], metavar="WORD", help="to expect, such as names"
    )
    shared.add_argument(
        "--beams",
        type=int,
        metavar="N",
        help="texts that the search keeps, 1 unless the model says",
    )
    shared.add_argument(
        "--fsmn-vad",
        type=Path,
        metavar="DIR",
        help="find speech by the FSMN-VAD in this directory instead of silero-vad",
    )
    shared.add_argument("--output", type=Path, metavar="PATH", help="a file, or a folder")
    shared.add_argument("--force", action="store_true", help="replace files that are there")
    shared.add_argument(
        "--guard",
        choices=("drop", "mark", "keep"),
        help="what happens to texts that the model likely made up, loops and faster than speech: "
        "kept in transcripts, dropped from subtitles",
    )

    command = commands.add_parser(
        "transcribe", parents=[shared], help="what is said in audio and video files"
    )
    command.add_argument("--format", choices=("text", "jsonl"), default="text")
    command.set_defaults(run=run_transcribe)

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
    command.set_defaults(run=run_subtitle)


def run_transcribe(options: argparse.Namespace) -> None:
    """Write what is said."""
    from galgame_asr.recordings import files

    options.guard = options.guard or "keep"
    files.transcribe(options)


def run_subtitle(options: argparse.Namespace) -> None:
    """Write subtitles beside the files."""
    from galgame_asr.recordings import files

    options.guard = options.guard or "drop"
    files.subtitle(options)
