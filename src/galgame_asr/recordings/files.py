"""Commands `transcribe` and `subtitle`: from audio and video files to texts and subtitles."""

import argparse
import dataclasses
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from galgame_asr.core.files import refuse_long_name, write_text
from galgame_asr.core.params import load
from galgame_asr.core.paths import MODELS, RAW
from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.decoding.segments import MAX_GAP
from galgame_asr.decoding.transcribe import Decoder, Task
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, MachineParams, Prompt, Prompts
from galgame_asr.messages.console import Progress, clock, log
from galgame_asr.messages.errors import CheckpointError, ConfigError, DataError, GalgameAsrError
from galgame_asr.recordings import containers
from galgame_asr.recordings import windows as recording
from galgame_asr.recordings.doubt import MARK, Guard, doubt
from galgame_asr.recordings.windows import Piece
from galgame_asr.runtimes import load as runtimes

T = TypeVar("T", bound=Path | None)

# Longest piece of speech for subtitles: pauses inside of a piece do not show in the times of its
# cues, and a cue is shown for 7 s at most.
SUBTITLE_PIECE_S = 10.0
# Longest silence inside of a piece for subtitles, beyond the 0.2 s that silero adds to both sides
# of speech: a comma, but no turn of a dialogue.
SUBTITLE_GAP = round(0.4 * SAMPLE_RATE_HZ)


def transcribe(options: argparse.Namespace) -> None:
    """Print or write what is said in files; see the command's options.

    A text has a line for each piece of speech; jsonl has its times and how sure the
    model is, too.

    Raises:
        GalgameAsrError: as for `make_decoder`, `targets` and `containers.read`.
    """
    suffix = {"text": ".txt", "jsonl": ".jsonl"}[options.format]
    names = targets(options, suffix) if options.output else [None] * len(options.files)
    files_ = Files(options.files)
    decoder = make_decoder(options)

    def write(path: Path, target: Path | None) -> None:
        lines = []
        if target is None and options.format == "text" and len(options.files) > 1:
            print(f"==> {path} <==", flush=True)
        for piece in listen(path, files_.durations_s[path], decoder, subtitles=False):
            text = _guarded(path, piece, options.guard)
            if text is None:
                continue
            line = _json(path, piece, text) if options.format == "jsonl" else text
            if target is None:
                print(line, flush=True)
            else:
                lines.append(f"{line}\n")
        if target is not None:
            write_text(target, "".join(lines))
            log.info("wrote %s", target)

    files_.each(names, write)


def subtitle(options: argparse.Namespace) -> None:
    """Write a subtitle file for each file; see the command's options.

    Raises:
        GalgameAsrError: as for `make_decoder`, `targets` and `containers.read`.
    """
    # Here, so that `transcribe` does not need their packages.
    from galgame_asr.recordings.subtitles import cues, files  # noqa: PLC0415

    chosen = {"line_width": options.line_width, "reading_speed": options.reading_speed}
    style = cues.Style(
        guard=options.guard, **{name: value for name, value in chosen.items() if value is not None}
    )
    if style.line_width < cues.MIN_LINE_WIDTH or style.reading_speed <= 0:
        raise ConfigError(
            f"--line-width {style.line_width:g} --reading-speed {style.reading_speed:g}: the width "
            f"must be at least {cues.MIN_LINE_WIDTH:g} characters, and the speed above 0"
        )
    names = targets(options, f".{options.format}")
    files_ = Files(options.files)
    decoder = make_decoder(options)

    def write(path: Path, target: Path) -> None:
        spoken = [
            cues.Spoken(piece.segment.start_s, piece.segment.end_s, piece.transcript.text)
            for piece in listen(path, files_.durations_s[path], decoder, subtitles=True)
        ]
        made = cues.make(spoken, style, recording_s=files_.durations_s[path] or math.inf)
        for one in made.doubts:
            spoken_ = one.spoken
            _log_doubt(path, spoken_.start_s, one.reason, options.guard, spoken_.text)
        if made.num_fast:
            log.info(
                "%d of %d cues are faster than %g letters a second: speech follows without a pause",
                made.num_fast, len(made.cues), style.reading_speed,
            )  # fmt: skip
        write_text(target, files.text(made.cues, options.format))
        log.info("wrote %s, %d cues", target, len(made.cues))

    files_.each(names, write)


class Files:
    """The files of one command, each for itself: one that fails does not take the others along."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Read all headers, before a model is loaded.

        Raises:
            DataError: none of them can be read.
        """
        self.paths = paths
        self.durations_s: dict[Path, float | None] = {}
        self.failed: dict[Path, GalgameAsrError] = {}
        for path in paths:
            with self._noting(path):
                self.durations_s[path] = containers.duration_s(path)
        if not self.durations_s:
            self.end()

    def each(self, targets_: Sequence[T], write: Callable[[Path, T], None]) -> None:
        """Write one result after the other.

        Raises:
            GalgameAsrError: as for `end`.
        """
        for path, target in zip(self.paths, targets_, strict=True):
            if path not in self.failed:
                with self._noting(path):
                    write(path, target)
        self.end()

    def end(self) -> None:
        """Name the files that failed, if there are any.

        Raises:
            GalgameAsrError: of a single file, its own error.
            DataError: some of several failed.
        """
        if len(self.paths) == 1 and self.failed:
            raise self.failed[self.paths[0]]
        if self.failed:
            raise DataError(
                f"{len(self.failed)} of {len(self.paths)} files failed, for the reasons above: "
                f"{', '.join(map(str, self.failed))}"
            )

    @contextmanager
    def _noting(self, path: Path) -> Iterator[None]:
        try:
            yield
        except GalgameAsrError as error:
            self.failed[path] = error
            if len(self.paths) > 1:
                log.error("%s: %s", path, error)


def listen(
    path: Path, duration_s: float | None, decoder: Decoder, *, subtitles: bool
) -> Iterator[Piece]:
    """Transcribe a file piece by piece, with a progress bar.

    Args:
        path: the file.
        duration_s: what its header announces.
        decoder: the model.
        subtitles: cut also short files where there is silence, and into shorter pieces.
    """
    params = decoder.task.params
    longest_s = params.long_audio.max_segment_s
    windows = recording.windows(
        containers.read(path),
        decoder.detector,
        max_segment_s=min(longest_s, SUBTITLE_PIECE_S) if subtitles else longest_s,
        max_gap=SUBTITLE_GAP if subtitles else MAX_GAP,
        whole_if_short=not subtitles,
    )
    done_s, num_full = 0.0, 0
    total = None if duration_s is None else max(1, round(duration_s))
    start = time.monotonic()
    with Progress(path.name, total=total, unit="s") as progress:
        for window, pieces in recording.transcribe(windows, decoder.pieces):
            yield from pieces
            num_full += sum(p.transcript.num_tokens >= params.max_new_tokens for p in pieces)
            done_s += len(window.audio) / SAMPLE_RATE_HZ
            speed = done_s / (time.monotonic() - start)
            progress.update(max(1, round(done_s)) - progress.done, f"{speed:.1f} x speech")
    log.info("%s: %s of audio, %.1f times as fast as speech", path, clock(done_s), speed)
    if num_full:
        log.warning(
            "%d texts reached decode.max_new_tokens (%d) and may be cut short",
            num_full, params.max_new_tokens,
        )  # fmt: skip


def make_decoder(options: argparse.Namespace) -> Decoder:
    """Load the model that the options and params.yaml name.

    Raises:
        ConfigError: params.yaml is not valid, or has no such prompt.
        CheckpointError: the model directory is missing or damaged.
    """
    params = load(DecodeParams, "decode")
    prompts = load(Prompts, "prompts")
    name = options.prompt or list(prompts)[-1]
    prompt = load(Prompt, f"prompts.{name}")
    prompt = dataclasses.replace(prompt, hotwords=(*prompt.hotwords, *options.hotwords))
    own = [name for name in params.checkpoints if not name.startswith("export/")]
    directory = options.model or MODELS / (own or params.checkpoints)[-1]
    reason = "as told" if options.model else "the last of decode.checkpoints"
    if not directory.is_dir():
        raise CheckpointError(
            f"{directory} ({reason}) is no directory; `dvc pull {MODELS}` or `dvc repro` makes the "
            "project's models, --model names another one"
        )
    log.info("model %s (%s), prompt %s %s", directory, reason, name, " ".join(prompt.hotwords))
    compute_params = load(ComputeParams, "compute")
    compute.set_up(compute_params)
    task = Task(
        family=runtimes.detect(directory),
        checkpoint=directory,
        raw=RAW,
        prompt=prompt,
        params=params,
        compute=compute_params,
        batch_frames=load(MachineParams, "machine").decode_batch_frames,
    )
    return Decoder(task, compute.device(compute_params))


def targets(options: argparse.Namespace, suffix: str) -> list[Path]:
    """Where the result of each file goes: beside it, or where --output says.

    Raises:
        ConfigError: two results would have one name, or one that is taken.
    """
    output: Path | None = options.output
    into = output is not None and (len(options.files) > 1 or output.is_dir() or not output.suffix)
    found: list[Path] = []
    for path in options.files:
        if output is None:
            target = path.with_name(f"{_stem(path)}{suffix}")
        else:
            target = output / f"{_stem(path)}{suffix}" if into else output
        refuse_long_name(target)
        if target in found:
            raise ConfigError(
                f"{path} and another file would both become {target}; run them one by one, each "
                "with an --output of its own"
            )
        if target.exists() and (not options.force or target in options.files):
            raise ConfigError(
                f"{target} is there already; --force replaces it, --output names another place"
            )
        found.append(target)
    return found


def _guarded(path: Path, piece: Piece, guard: Guard) -> str | None:
    """The text of a piece; None if it is likely made up and shall be left out."""
    text, segment = piece.transcript.text, piece.segment
    reason = doubt(text, segment.end_s - segment.start_s)
    if reason is None:
        return text
    _log_doubt(path, segment.start_s, reason, guard, text)
    return {"drop": None, "mark": MARK + text, "keep": text}[guard]


def _log_doubt(path: Path, start_s: float, reason: str, guard: Guard, text: str) -> None:
    log.warning(
        "%s at %s: %s, likely made up (%s): %.60s", path, clock(start_s), reason, guard, text
    )


def _stem(path: Path) -> str:
    """The name without its extension; what follows a dot in `v1.2 extra` is none."""
    return path.stem if re.fullmatch(r"\.(?=.*[A-Za-z])\w{1,5}", path.suffix) else path.name


def _json(path: Path, piece: Piece, text: str) -> str:
    row = {
        "file": str(path),
        "start_s": round(piece.segment.start_s, 3),
        "end_s": round(piece.segment.end_s, 3),
        **piece.transcript.as_row(),
        "text": text,
    }
    return json.dumps(row, ensure_ascii=False)
