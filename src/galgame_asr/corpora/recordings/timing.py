"""When the speech of each subtitle is: cues are shown early, late, too long, and drift.

First all cues of a file are moved together, by a shift that changes little from cue to cue, to
where they cover speech and begin with it. Then each begins and ends with its own speech.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from galgame_asr.corpora.recordings.speech import FRAME_S, Heard, Span

Times = NDArray[np.float64]

# Shifts that are tried, so far apart; below what an edge of speech is sure of.
STEP_S = 0.02
# What a cue's edges are worth, against a second of speech that it covers. It is shown when speech
# begins, but often until it was read.
START_WORTH, END_WORTH, EDGE_S = 0.5, 0.25, 0.3
# What a second of difference between the shifts of neighbours costs, in seconds of speech: a drift
# costs nothing that counts, and a cue that nobody says does not leave the others.
CHANGE_COST = 2.0
# After all are moved, a cue's speech begins and ends at most so far from it.
REACH_S = 0.4
# A pause that parts two cues ends so near to the second, or they are cut where it is quietest.
QUIET_S = 0.15
# Sound near a cue's edge that no detector calls speech, such as a soft ん, belongs to it.
SOFT_GAP_S = 0.3
# Less speech is none.
LEAST_S = 0.1
# What stays around the speech, whose first and last sounds are soft.
MARGIN_S = 0.05


@dataclass(frozen=True)
class Cue:
    """A subtitle: when it is shown, in seconds, and its text."""

    start_s: float
    end_s: float
    text: str


def fit(cues: Sequence[Cue], heard: Heard, max_shift_s: float) -> list[Span | None]:
    """Where the speech of each cue begins and ends, in seconds.

    Args:
        cues: in the order of their starts.
        heard: the speech of the file.
        max_shift_s: the largest shift of all; 0 leaves times as they are.

    Returns:
        A span for each cue, rising and disjoint but where cues overlap each other; None where no
        speech is heard.
    """
    if not heard.spans:
        return [None] * len(cues)
    if max_shift_s == 0:
        return [(cue.start_s, min(cue.end_s, heard.duration_s)) for cue in cues]
    moves = shifts(cues, heard, max_shift_s)
    moved = [(cue.start_s + move, cue.end_s + move) for cue, move in zip(cues, moves, strict=True)]
    parted = [_part(one, other, heard) for one, other in pairwise(moved)]
    befores = [0.0, *(after for _, after in parted)]
    afters = [*(before for before, _ in parted), heard.duration_s]
    found = [
        _own(span, before, after, heard)
        for span, before, after in zip(moved, befores, afters, strict=True)
    ]
    return with_margins(found, heard.duration_s)


def shifts(cues: Sequence[Cue], heard: Heard, max_shift_s: float) -> Times:
    """By how many seconds each cue is early, of a recording with speech.

    The best path through all shifts of all cues: what each is worth, less what the changes cost.
    """
    steps = int(max_shift_s / STEP_S)
    tried: Times = np.linspace(-steps * STEP_S, steps * STEP_S, 2 * steps + 1)
    worth = _worth(cues, heard, tried)
    costs = CHANGE_COST * np.abs(tried[:, None] - tried[None, :])
    best, came = worth[0], []
    for own in worth[1:]:
        paths = best[:, None] - costs
        came.append(paths.argmax(0))
        best = paths.max(0) + own
    # Of equal ends the one that moves least.
    last = int(np.lexsort((np.abs(tried), -best))[0])
    path = [last]
    for origin in reversed(came):
        path.append(int(origin[path[-1]]))
    return np.asarray(tried[path[::-1]], np.float64)


def _worth(cues: Sequence[Cue], heard: Heard, tried: Times) -> Times:
    """What each shift of each cue is worth: seconds of speech, less those of silence, and edges."""
    count = len(heard.speech) + 1
    speech = np.where(heard.speech, FRAME_S, -FRAME_S)
    covered = np.concatenate([[0.0], np.cumsum(speech)])
    begins, ends = (_near(np.array(edges), count) for edges in zip(*heard.spans, strict=True))
    starts = np.array([cue.start_s for cue in cues])[:, None] + tried
    stops = np.array([cue.end_s for cue in cues])[:, None] + tried
    # Outside of the file is silence.
    beyond = np.maximum(-starts, 0) + np.maximum(stops - heard.duration_s, 0)
    first, last = (np.clip(t / FRAME_S, 0, count - 1).round().astype(int) for t in (starts, stops))
    worth = covered[last] - covered[first] - beyond
    return np.asarray(worth + START_WORTH * begins[first] + END_WORTH * ends[last], np.float64)


def _near(edges_s: Times, count: int) -> Times:
    """How near each frame is to an edge: 1 at one, 0 from EDGE_S on."""
    times_s = np.arange(count) * FRAME_S
    place = np.clip(np.searchsorted(edges_s, times_s), 1, max(len(edges_s) - 1, 1))
    before, after = edges_s[place - 1], edges_s[np.minimum(place, len(edges_s) - 1)]
    distance = np.minimum(np.abs(times_s - before), np.abs(after - times_s))
    near: Times = np.maximum(1 - distance / EDGE_S, 0)
    return near


def _part(one: Span, other: Span, heard: Heard) -> Span:
    """Where the first of two neighbours ends at the latest, and the second begins at the earliest.

    In the pause that ends nearest to where the second is shown; else at its quietest place.
    """
    if other[0] - one[1] > 2 * REACH_S:
        return one[1] + REACH_S, other[0] - REACH_S
    earliest = max(min(one[1], other[0]) - REACH_S, (one[0] + min(one[1], other[0])) / 2)
    latest = min(other[0] + REACH_S, (other[0] + other[1]) / 2)
    pauses = [pause for pause in heard.pauses if pause[1] > earliest and pause[0] < latest]
    ended = [pause for pause in pauses if earliest < pause[1] < latest]
    if ended:
        return min(ended, key=lambda pause: abs(pause[1] - other[0]))
    at = heard.quietest(max(earliest, other[0] - QUIET_S), min(latest, other[0] + QUIET_S))
    return at, at


def _own(shown: Span, before_s: float, after_s: float, heard: Heard) -> Span | None:
    """The speech of a cue that is shown at a time, of that between its neighbours' speech."""
    left, right = max(before_s, shown[0] - REACH_S), min(after_s, shown[1] + REACH_S)
    own = [
        (max(start, left), min(end, right))
        for start, end in heard.spans
        if end > max(left, shown[0] - EDGE_S) and start < min(right, shown[1])
    ]
    if sum(max(end - start, 0.0) for start, end in own) < LEAST_S:
        return None
    start_s, end_s = own[0][0], own[-1][1]
    # Speech that nobody wrote down runs into it, or goes on after it.
    if start_s == left != before_s:
        start_s = heard.quietest(shown[0] - QUIET_S, shown[0] + QUIET_S)
    if end_s == right != after_s:
        end_s = heard.quietest(shown[1] - QUIET_S, shown[1] + QUIET_S)
    start_s = heard.first_sound(max(left, shown[0] - EDGE_S), start_s, SOFT_GAP_S)
    end_s = heard.last_sound(end_s, min(right, shown[1] + EDGE_S), SOFT_GAP_S)
    return (start_s, end_s) if end_s - start_s >= LEAST_S else None


def with_margins(found: Sequence[Span | None], duration_s: float) -> list[Span | None]:
    """The spans with MARGIN_S around them, or half of what is between two of them."""
    wide: list[Span | None] = []
    edges = [span for span in found if span is not None]
    for span in found:
        if span is None:
            wide.append(None)
            continue
        before = max((end for start, end in edges if start < span[0]), default=0.0)
        after = min((start for start, _ in edges if start > span[0]), default=duration_s)
        wide.append(
            (
                max(span[0] - MARGIN_S, min((before + span[0]) / 2, span[0]), 0.0),
                min(span[1] + MARGIN_S, max((span[1] + after) / 2, span[1]), duration_s),
            )
        )
    return wide
