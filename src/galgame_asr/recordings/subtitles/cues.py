"""Cues out of transcribed speech: short enough to read, long enough to see, never two at once."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from galgame_asr.recordings.doubt import MARK, Guard, doubt
from galgame_asr.recordings.subtitles import lines
from galgame_asr.text.letters import letters

# Netflix's timed text guides: nothing is shown for longer, or (in Japanese) for less.
MAX_S = 7.0
MIN_S = 0.5
# Two frames of film, without which a change of text is not seen. A cue that was made longer ends
# so much before the next one.
GAP_S = 0.083
# Narrower lines cannot hold a word; the same bound keeps punctuation off the beginning of lines.
MIN_LINE_WIDTH = 4.0

SENTENCE_END = re.compile("[。！？!?]+[」』）】”’)]*")
CLAUSE_END = re.compile("[、，,…‥―]+[」』）】”’)]*")


@dataclass(frozen=True)
class Spoken:
    """A piece of speech and its text."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Cue:
    """A text on the screen."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Style:
    """What is a matter of taste."""

    # Widest line, in full-width characters: two lines of 20 fill most of a 16:9 screen.
    line_width: float = 20.0
    # Letters a viewer reads in a second. Subtitles word for word are as fast as the speech, which
    # this lets pass; broadcasters, who condense, want 4 to 7.
    reading_speed: float = 10.0
    # What happens to a text that the model likely made up.
    guard: Guard = "drop"


@dataclass(frozen=True)
class Doubt:
    """A text that the model likely made up, and why."""

    spoken: Spoken
    reason: str


@dataclass(frozen=True)
class Subtitles:
    """The cues of a recording, and what they could not give."""

    cues: list[Cue]
    doubts: list[Doubt]
    num_fast: int  # cues faster than the reading speed, with no silence left after them


def make(spoken: Sequence[Spoken], style: Style, *, recording_s: float = math.inf) -> Subtitles:
    """Make the cues of a recording.

    Each piece of speech is one cue, or several if it is longer than MAX_S or than two
    lines: sentences stay whole where they can, and have time by their letters. A cue
    begins with its speech; it ends with it too, or later if there is silence after
    it and it would be shorter than MIN_S or too fast to read.

    Args:
        spoken: rising and disjoint; empty texts give no cue.
        style: line width, reading speed, and what to do with hallucinations.
        recording_s: where the recording ends, and with it the last cue.
    """
    kept: list[Spoken] = []
    doubts: list[Doubt] = []
    for piece in spoken:
        text = " ".join(piece.text.split())
        if not letters(text):
            continue
        reason = doubt(text, piece.end_s - piece.start_s)
        if reason:
            doubts.append(Doubt(piece, reason))
            if style.guard == "drop":
                continue
            text = MARK + text if style.guard == "mark" else text
        kept.append(Spoken(piece.start_s, piece.end_s, text))
    parts = [part for piece in kept for part in _parts(piece, style.line_width)]
    nexts = [part.start_s for part in parts[1:]] + [max(recording_s, 0.0) + GAP_S]
    cues = [_cue(part, after, style) for part, after in zip(parts, nexts, strict=False)]
    return Subtitles(cues, doubts, sum(_is_fast(cue, style) for cue in cues))


def split(text: str, duration_s: float, line_width: float) -> Iterator[str]:
    """Cut what is longer than MAX_S, or than two lines, near its middle until it is not.

    At the end of a sentence if there is one, or of a clause; only for the sake of
    the lines between phrases, and inside of them.
    """
    fits = lines.wrap(text, line_width) is not None
    if fits and duration_s <= MAX_S:
        yield text
        return
    at = _middle(text, inside_clauses=not fits)
    if at is None:
        yield text
        return
    first, rest = text[:at].rstrip(), text[at:].lstrip()
    first_s = duration_s * _weight(first) / (_weight(first) + _weight(rest))
    yield from split(first, first_s, line_width)
    yield from split(rest, duration_s - first_s, line_width)


def _middle(text: str, *, inside_clauses: bool) -> int | None:
    """The place nearest to the middle to cut at, of the best kind that there is."""
    for ends in (SENTENCE_END, CLAUSE_END):
        # Not where nothing but symbols would be cut off.
        places = [m.end() for m in ends.finditer(text)]
        if at := _nearest(text, places):
            return at
    if not inside_clauses:
        return None
    everywhere = list(range(1, len(text)))
    for places in (lines.phrase_starts(text), lines.character_starts(text), everywhere):
        if at := _nearest(text, places):
            return at
    # Nothing but symbols: their place does not matter.
    return len(text) // 2 or None


def _nearest(text: str, places: list[int]) -> int | None:
    useful = [at for at in places if letters(text[:at]) and letters(text[at:])]
    return min(useful, key=lambda at: abs(2 * at - len(text)), default=None)


def _parts(piece: Spoken, line_width: float) -> list[Spoken]:
    """The pieces of a piece, one for each cue, without gaps."""
    texts = list(split(piece.text, piece.end_s - piece.start_s, line_width))
    weights = [_weight(text) for text in texts]
    total = sum(weights)
    duration_s = piece.end_s - piece.start_s
    # Each edge is computed once, so that neighbours share it exactly.
    edges = [piece.start_s + duration_s * sum(weights[:i]) / total for i in range(len(texts))]
    edges.append(piece.end_s)
    return [
        Spoken(start_s, end_s, text)
        for (start_s, end_s), text in zip(pairwise(edges), texts, strict=True)
    ]


def _cue(part: Spoken, next_start_s: float, style: Style) -> Cue:
    wanted_s = min(max(MIN_S, _weight(part.text) / style.reading_speed), MAX_S)
    # A character wider than a line is the only text that does not fit.
    wrapped = lines.wrap(part.text, style.line_width) or (part.text,)
    end_s = max(part.end_s, min(part.start_s + wanted_s, next_start_s - GAP_S))
    return Cue(part.start_s, min(end_s, part.start_s + MAX_S), wrapped)


def _is_fast(cue: Cue, style: Style) -> bool:
    letters_ = sum(len(letters(line)) for line in cue.lines)
    return letters_ > style.reading_speed * (cue.end_s - cue.start_s) * (1 + 1e-9)


def _weight(text: str) -> int:
    return max(len(letters(text)), 1)
