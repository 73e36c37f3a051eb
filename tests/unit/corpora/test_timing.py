"""Cues are moved to the speech, whatever their times are; here what is speech is known."""

import random
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from galgame_asr.corpora.recordings.speech import FRAME_S, Heard, Span
from galgame_asr.corpora.recordings.timing import MARGIN_S, Cue, fit, shifts

PAUSES_S = [0.15, 0.3, 0.5, 0.8, 1.5, 3.0]


def heard(spans: list[Span], duration_s: float) -> Heard:
    """A quiet recording with speech in these spans."""
    loudness = np.full(round(duration_s / FRAME_S), -80.0)
    for start_s, end_s in spans:
        loudness[round(start_s / FRAME_S) : round(end_s / FRAME_S)] = -20.0
    return Heard(spans, loudness, np.full_like(loudness, -80.0))


def scene(seed: int, length_s: float = 600.0) -> list[Span]:
    """Sentences of one to four seconds with pauses of all lengths."""
    draw, at, found = random.Random(seed), 1.0, list[Span]()
    while at < length_s:
        at += draw.choice(PAUSES_S) * draw.uniform(0.8, 1.2)
        end = at + draw.uniform(0.6, 4.0)
        found.append((round(at, 2), round(end, 2)))
        at = end
    return found


def shown(
    spans: list[Span], late: Callable[[float], float], early_s: float = 0.0, stays_s: float = 0.0
) -> list[Cue]:
    """Cues of spans: late by what is told of a time, begun up to so early, shown up to so long."""
    draw = random.Random(0)
    cues = []
    for number, (start_s, end_s) in enumerate(spans):
        after_s = spans[number + 1][0] - 0.05 if number + 1 < len(spans) else end_s + stays_s
        first = start_s - draw.uniform(0, early_s)
        last = max(end_s, min(end_s + draw.uniform(0, stays_s), after_s))
        cues.append(Cue(first + late(start_s), last + late(start_s), str(number)))
    return cues


def errors_s(found: list[Span | None], spans: list[Span]) -> "np.typing.NDArray[np.float64]":
    """How far each bound is from the truth, without the margins."""
    off = []
    for span, true in zip(found, spans, strict=True):
        assert span is not None
        off += [span[0] - true[0], span[1] - true[1]]
    return np.asarray(np.abs(off), np.float64)


LATE: dict[str, Callable[[float], float]] = {
    "right": lambda _: 0.0,
    "late": lambda _: 0.8,
    "early": lambda _: -1.5,
    "drifting": lambda time_s: 0.8 * time_s / 600,
    "drifting back": lambda time_s: 0.5 - 1.2 * time_s / 600,
    "cut in the middle": lambda time_s: 0.8 if time_s < 300 else -0.7,
}


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize(("early_s", "stays_s"), [(0.0, 0.0), (0.2, 0.6)])
def test_cues_find_their_speech(late: str, early_s: float, stays_s: float) -> None:
    """However they are shown, nine of ten bounds are within 0.1 s, where raw ones are not."""
    spans = scene(1)
    cues = shown(spans, LATE[late], early_s, stays_s)
    found = fit(cues, heard(spans, 620.0), 2.0)
    assert np.quantile(errors_s(found, spans), 0.9) <= MARGIN_S + 0.05
    raw = errors_s([(cue.start_s, cue.end_s) for cue in cues], spans)
    if late != "right":
        assert np.quantile(raw, 0.9) > 0.4


def test_a_shift_changes_slowly_and_is_bounded() -> None:
    """A cue that nobody says stays with its neighbours; none moves by more than allowed."""
    spans = scene(2, 120.0)
    said = shown(spans, lambda _: 0.6)
    gap_s, at = max((other.start_s - one.end_s, one.end_s) for one, other in pairwise(said))
    sign = Cue(at + 0.1, at + gap_s - 0.1, "a sign")
    cues = sorted([*said, sign], key=lambda cue: cue.start_s)
    moved = shifts(cues, heard(spans, 130.0), 2.0)
    assert np.abs(moved + 0.6).max() < 0.05
    assert np.abs(shifts(cues, heard(spans, 130.0), 0.3)).max() <= 0.3 + 1e-9


def test_times_may_stay_as_they_are() -> None:
    """A shift of 0 moves nothing; what is shown after the end ends there."""
    cues = [Cue(1.0, 2.0, "a"), Cue(9.0, 11.0, "b")]
    assert fit(cues, heard([(1.5, 2.5)], 10.0), 0.0) == [(1.0, 2.0), (9.0, 10.0)]


def test_a_cue_without_speech_has_no_span() -> None:
    """And takes nothing of its neighbours."""
    spans: list[Span] = [(1.0, 3.0), (8.0, 10.0)]
    cues = [Cue(1.0, 3.0, "a"), Cue(5.0, 6.5, "♪"), Cue(8.0, 10.0, "b")]
    first, none, last = fit(cues, heard(spans, 12.0), 2.0)
    assert none is None
    assert errors_s([first, last], spans).max() <= MARGIN_S + FRAME_S


def test_speech_that_nobody_wrote_down_stays_outside() -> None:
    """Before, after and between cues, where pauses part it."""
    spans: list[Span] = [(0.5, 2.0), (3.0, 4.0), (4.6, 7.0), (9.0, 11.0), (12.0, 13.0)]
    own = [spans[1], spans[3]]
    cues = [Cue(*span, "x") for span in own]
    assert errors_s(fit(cues, heard(spans, 15.0), 1.0), own).max() <= MARGIN_S + FRAME_S


def test_speech_without_a_pause_is_cut_where_it_is_quietest() -> None:
    """Near to where the second cue is shown."""
    recording = heard([(1.0, 5.0)], 6.0)
    recording.loudness_db[305:309] = -40.0
    first, second = fit([Cue(1.0, 3.0, "a"), Cue(3.0, 5.0, "b")], recording, 0.5)
    assert first is not None
    assert second is not None
    assert first[1] == pytest.approx(second[0], abs=0.001)
    assert first[1] == pytest.approx(3.07, abs=0.03)


def test_no_speech_at_all() -> None:
    """Nothing to move to: no cue has a span."""
    assert fit([Cue(1.0, 2.0, "a"), Cue(3.0, 4.0, "b")], heard([], 5.0), 2.0) == [None, None]


@pytest.mark.parametrize("seed", range(5))
def test_spans_are_in_order_and_apart(seed: int) -> None:
    """Of any cues that follow each other, and inside of the recording."""
    draw = random.Random(seed)
    spans = scene(seed, 60.0)
    times = sorted(draw.uniform(-1.0, 70.0) for _ in range(60))
    cues = [Cue(a, b, "x") for a, b in zip(times[::2], times[1::2], strict=True) if b - a > 0.05]
    found = [span for span in fit(cues, heard(spans, 65.0), 2.0) if span]
    assert found
    for one, other in pairwise(found):
        assert one[0] < one[1] <= other[0] + 1e-6
    assert found[0][0] >= 0
    assert found[-1][1] <= 65.0
