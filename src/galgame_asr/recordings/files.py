"""Commands `transcribe` and `subtitle`: from audio and video files to texts and subtitles."""

import argparse
import dataclasses
import itertools
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from galgame_asr.core.files import refuse_unwritable, write_text
from galgame_asr.core.params import PARAMS_FILE, load
from galgame_asr.core.paths import MODELS, RAW
from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.corpora.recordings import containers
from galgame_asr.decoding.params import Checkpoints, LongAudioParams, SearchParams
from galgame_asr.decoding.segments import MAX_GAP
from galgame_asr.decoding.transcribe import Decoder, Task, max_tokens
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, Prompt
from galgame_asr.messages.console import Progress, clock, log
from galgame_asr.messages.errors import CheckpointError, ConfigError, DataError, GalgameAsrError
from galgame_asr.recordings import windows as recording
from galgame_asr.recordings.doubt import MARK, Guard, doubt
from galgame_asr.recordings.windows import Piece, Window
from galgame_asr.runtimes import load as runtimes

T = TypeVar("T", bound=Path | None)
# What is heard of a recording, window by window.
Heard = Iterator[tuple[Window, list[Piece]]]

# Longest piece of speech for subtitles: pauses inside of a piece do not show in the times of its
# cues, and a cue is shown for 7 s at most.
SUBTITLE_PIECE_S = 10.0
# Longest silence inside of a piece for subtitles, beyond the 0.2 s that silero adds to both sides
# of speech: a comma, but no turn of a dialogue.
SUBTITLE_GAP = round(0.4 * SAMPLE_RATE_HZ)
# As fast as this machine can: these commands are no stages, whose bits are the same everywhere.
COMPUTE = ComputeParams(
    device="auto",
    precision="auto",
    cpu_threads=None,
    reproducible=False,
)
# 10 ms frames in a batch: eight pieces of 30 s, to which Whisper pads all.
BATCH_FRAMES = 24_000


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

    def write(path: Path, target: Path | None, heard: Heard) -> None:
        lines = []
        if target is None and options.format == "text" and len(options.files) > 1:
            print(f"==> {path} <==", flush=True)
        for piece in itertools.chain.from_iterable(pieces for _, pieces in heard):
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

    files_.each(names, decoder, write, subtitles=False)


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

    def write(path: Path, target: Path, heard: Heard) -> None:
        spoken, end = [], 0
        for window, pieces in heard:
            spoken += [
                cues.Spoken(piece.segment.start_s, piece.segment.end_s, piece.transcript.text)
                for piece in pieces
            ]
            end = window.start + len(window.audio)
        made = cues.make(spoken, style, recording_s=end / SAMPLE_RATE_HZ)
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

    files_.each(names, decoder, write, subtitles=True)


class Files:
    """The files of one command, each for itself: one that fails does not take the others along."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Read all headers, before a model is loaded.

        Raises:
            DataError: none of them can be read.
        """
        self.paths = paths
        self.durations_s: dict[Path, float | None] = {}  # as headers announce them
        self.failed: dict[Path, GalgameAsrError] = {}
        # By their number, errors that are raised when it is their turn.
        self._broken: dict[int, GalgameAsrError] = {}
        for path in paths:
            with self._noting(path):
                self.durations_s[path] = containers.duration_s(path)
        if not self.durations_s:
            self.end()

    def each(
        self,
        targets_: Sequence[T],
        decoder: Decoder,
        write: Callable[[Path, T, Heard], None],
        *,
        subtitles: bool,
    ) -> None:
        """Write one result after the other, of what one stream of batches gives for all files.

        Raises:
            GalgameAsrError: as for `end`; or the decoder cannot do what it is asked for.
        """
        heard = self._heard(decoder, subtitles=subtitles)
        for number, path in enumerate(self.paths):
            if path not in self.failed:
                with self._noting(path):
                    write(path, targets_[number], self._own(number, heard))
        for _ in heard:  # its last words
            pass
        self.end()

    def _own(self, number: int, heard: Iterator[tuple[int, Window, list[Piece]]]) -> Heard:
        """What is heard of one file, and then the error that it ended with, if it did."""
        for owner, window, pieces in heard:
            if owner == number:
                yield window, pieces
                if window.is_last:
                    break
        if number in self._broken:
            raise self._broken[number]

    def _heard(
        self, decoder: Decoder, *, subtitles: bool
    ) -> Iterator[tuple[int, Window, list[Piece]]]:
        """Transcribe all files, window by window with the number of the file; shows progress."""
        known_s = [duration_s for duration_s in self.durations_s.values() if duration_s is not None]
        total = max(1, round(sum(known_s))) if len(known_s) == len(self.durations_s) else None
        name = self.paths[0].name if len(self.paths) == 1 else f"{len(self.paths)} files"
        params = decoder.task.params
        done_s, num_full, speed = 0.0, 0, 0.0
        start = time.monotonic()

        def counted() -> Iterator[tuple[int, Window]]:
            """Those that are read: when the next of `recording.transcribe` comes, all are done."""
            nonlocal done_s
            for number, window in self._windows(decoder, subtitles=subtitles):
                done_s += len(window.audio) / SAMPLE_RATE_HZ
                yield number, window

        with Progress(name, total=total, unit="s") as progress:
            for number, window, found in recording.transcribe(counted(), decoder.pieces):
                if isinstance(found, GalgameAsrError):
                    self._broken[number] = found
                    yield number, dataclasses.replace(window, is_last=True), []
                    continue
                pieces = found
                num_full += sum(_is_full(piece, params) for piece in pieces)
                speed = done_s / (time.monotonic() - start)
                progress.update(max(1, round(done_s)) - progress.done, f"{speed:.1f} x speech")
                yield number, window, pieces
        log.info("%s: %s of audio, %.1f times as fast as speech", name, clock(done_s), speed)
        if num_full:
            log.warning(
                "%d texts reached the %g tokens a second that %s allows, and may be cut short",
                num_full, params.max_tokens_per_s, decoder.task.checkpoint,
            )  # fmt: skip

    def _windows(self, decoder: Decoder, *, subtitles: bool) -> Iterator[tuple[int, Window]]:
        """The windows of all files; at least one of each, also of one that cannot be read."""
        detector, longest_s = decoder.detector, decoder.task.params.long_audio.max_segment_s
        for number, path in enumerate(self.paths):
            if path in self.failed:
                continue
            try:
                for window in recording.windows(
                    containers.read(path),
                    detector,
                    max_segment_s=min(longest_s, SUBTITLE_PIECE_S) if subtitles else longest_s,
                    max_gap=SUBTITLE_GAP if subtitles else MAX_GAP,
                    whole_if_short=not subtitles,
                ):
                    yield number, window
            except GalgameAsrError as error:
                self._broken[number] = error
                yield number, Window(0, np.zeros(0, np.float32), [], is_last=True)

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


def make_decoder(options: argparse.Namespace) -> Decoder:
    """Load the model that the options name, to be used as its directory says and they override.

    params.yaml is read for what is not given: the model, and what a prompt's name means.

    Raises:
        ConfigError: params.yaml has no such prompt, or is needed and not there; no beams.
        CheckpointError: the model directory is missing or damaged.
    """
    if options.beams is not None and options.beams < 1:
        raise ConfigError(f"--beams {options.beams}: the search keeps at least 1 text")
    named = load(Prompt, f"prompts.{options.prompt}") if options.prompt else None
    directory, reason = _directory(options)
    if not directory.is_dir():
        raise CheckpointError(
            f"{directory} ({reason}) is no directory; `dvc pull {MODELS}` or `dvc repro` makes the "
            "project's models, --model names another one"
        )
    family = runtimes.detect(directory)
    defaults = runtimes.read_defaults(family, directory)
    prompt = named or defaults.prompts[0]
    if prompt.glossary:
        raise ConfigError(
            f"prompts.{options.prompt} takes hotwords out of a glossary by the text of an "
            "utterance, and a recording has none; name another prompt, and names by --hotwords"
        )
    prompt = dataclasses.replace(
        prompt,
        language=options.language or prompt.language,
        hotwords=(*prompt.hotwords, *options.hotwords),
    )
    log.info("model %s (%s), prompt: %s", directory, reason, _described(prompt))
    compute.set_up(COMPUTE)
    fsmn = options.fsmn_vad
    task = Task(
        family=family,
        checkpoint=directory,
        raw=RAW,
        prompt=prompt,
        params=SearchParams(
            max_new_tokens=None,
            max_tokens_per_s=defaults.max_tokens_per_s,
            beams=defaults.beams if options.beams is None else options.beams,
            no_repeat_ngram_size=defaults.no_repeat_ngram_size,
            long_audio=LongAudioParams(
                max_segment_s=defaults.max_segment_s,
                vad="fsmn" if fsmn else "silero",
                directory=str(fsmn) if fsmn else None,
            ),
        ),
        compute=COMPUTE,
        batch_frames=BATCH_FRAMES,
    )
    return Decoder(task, compute.device(COMPUTE))


def _directory(options: argparse.Namespace) -> tuple[Path, str]:
    """The model's directory, and why it is that one."""
    if options.model:
        return options.model, "as told"
    if not PARAMS_FILE.exists():
        raise ConfigError(
            f"name a model with --model DIR; without it the last of {PARAMS_FILE}'s "
            f"decode.checkpoints is taken, and here is no {PARAMS_FILE}"
        )
    checkpoints = load(Checkpoints, "decode.checkpoints")
    own = [name for name in checkpoints if not name.startswith("export/")]
    return MODELS / (own or checkpoints)[-1], "the last of decode.checkpoints"


def targets(options: argparse.Namespace, suffix: str) -> list[Path]:
    """Where the result of each file goes: beside it, or where --output says.

    Raises:
        ConfigError: two results would have one name, or one that is taken or cannot be written.
    """
    output: Path | None = options.output
    # Not `Path.is_dir`, which fails at a name that is too long.
    into = output is not None and (
        len(options.files) > 1 or os.path.isdir(output) or not output.suffix  # noqa: PTH112
    )
    found: list[Path] = []
    for path in options.files:
        if output is None:
            target = path.parent / f"{_stem(path)}{suffix}"
        else:
            target = output / f"{_stem(path)}{suffix}" if into else output
        refuse_unwritable(target)
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


def _described(prompt: Prompt) -> str:
    parts = [f"language {prompt.language}" if prompt.language else "no language"]
    parts += ["hotwords " + " ".join(prompt.hotwords)] if prompt.hotwords else []
    parts += ["numbers as words"] if not prompt.itn else []
    return ", ".join([*parts, "timestamps"] if prompt.timestamps else parts)


def _is_full(piece: Piece, params: SearchParams) -> bool:
    """Whether a text has as many tokens as it may."""
    duration_s = piece.segment.end_s - piece.segment.start_s
    return piece.transcript.num_tokens >= max_tokens(duration_s, params)


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
