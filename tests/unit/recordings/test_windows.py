"""Hours are heard in windows: no speech is lost or cut at their edges, and memory is bounded."""

import itertools
import tracemalloc
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from galgame_asr.decoding.segments import Audio, Segment, load_detector
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import DataError
from galgame_asr.recordings import windows as recording
from galgame_asr.recordings.windows import Window, fit, transcribe, windows
from tests.models import noise
from tests.recordings import speak, stitch

RATE_HZ = 16_000


class Loud:
    """A detector of whatever is not silent for 0.1 s, with 0.1 s around it."""

    def speech(self, audio: Audio) -> list[Segment]:
        frames = np.abs(audio[: len(audio) // 1600 * 1600]).reshape(-1, 1600).max(axis=1) > 1e-3
        edges = np.flatnonzero(np.diff(frames, prepend=False, append=False))
        return [
            Segment(max(start - 1, 0) * 1600, min((end + 1) * 1600, len(audio)))
            for start, end in edges.reshape(-1, 2).tolist()
        ]

    def hears(self, audio: Audio) -> bool:
        return bool(self.speech(audio))


def blocks(audio: Audio, size: int = 10 * RATE_HZ) -> Iterator[Audio]:
    for start in range(0, len(audio), size):
        yield audio[start : start + size]


def owned(found: Iterable[Window]) -> Iterator[tuple[None, Window]]:
    """Windows of a single recording."""
    return ((None, window) for window in found)


@pytest.mark.parametrize("seed", range(4))
def test_windows_are_as_the_whole(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together the windows are the recording; speech is found as if it were searched at once."""
    monkeypatch.setattr(recording, "WINDOW", 20 * RATE_HZ)
    draw = np.random.default_rng(seed)
    parts = [0.1 + noise(float(draw.uniform(0.5, 4)), seed) for _ in range(25)]
    audio, bounds = stitch(parts, draw.uniform(1.3, 5, 26).tolist())
    found = list(windows(blocks(audio), Loud(), max_segment_s=5.0, max_gap=0))
    assert len(found) > 3
    np.testing.assert_array_equal(np.concatenate([w.audio for w in found]), audio)
    assert [w.is_last for w in found] == [False] * (len(found) - 1) + [True]
    assert [w.start for w in found[1:]] == list(itertools.accumulate(len(w.audio) for w in found))[
        :-1
    ]
    segments = [Segment(w.start + s.start, w.start + s.end) for w in found for s in w.segments]
    assert len(segments) == len(bounds)
    for segment, bound in zip(segments, bounds, strict=True):
        assert abs(segment.start - bound.start) <= 320
        assert abs(segment.end - bound.end) <= 320


def test_speech_without_a_pause_is_cut_in_bounded_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sample of it once, whatever the window."""
    monkeypatch.setattr(recording, "WINDOW", 5 * RATE_HZ)
    audio = 0.1 + noise(60.0)
    found = list(windows(blocks(audio, 4000), Loud(), max_segment_s=4.0))
    assert max(len(w.audio) for w in found) < 10 * RATE_HZ
    segments = [Segment(w.start + s.start, w.start + s.end) for w in found for s in w.segments]
    assert segments[0].start == 0
    assert segments[-1].end == len(audio)
    assert all(one.end == other.start for one, other in itertools.pairwise(segments))
    assert max(s.end - s.start for s in segments) <= 4 * RATE_HZ


def test_two_hours_need_no_more_memory_than_minutes() -> None:
    """A window of audio and the texts, not the recording, which is 460 MB."""
    sentence = 0.1 + noise(2.0)
    minute = np.concatenate([sentence, np.zeros(58 * RATE_HZ, np.float32)])

    def pieces(audios: list[Audio]) -> list[Transcript]:
        return [Transcript("傘", 1, 0.0) for _ in audios]

    tracemalloc.start()
    try:
        endless = (block for _ in range(120) for block in blocks(minute))
        heard = transcribe(owned(windows(endless, Loud(), max_segment_s=30.0)), pieces)
        starts = [
            piece.segment.start_s
            for _, _, found in heard
            if isinstance(found, list)
            for piece in found
        ]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert starts == pytest.approx([60.0 * minute for minute in range(120)], abs=0.02)
    assert peak < 60e6


def test_short_recordings_can_stay_whole() -> None:
    """As utterances that are decoded; and silence has no pieces."""
    audio, _ = stitch([noise(1.0)], [0.5, 0.5])
    [window] = windows([audio], Loud(), max_segment_s=4.0, whole_if_short=True)
    assert window.segments == [Segment(0, len(audio))]
    for length_s in (3, 9):
        silence = np.zeros(length_s * RATE_HZ, np.float32)
        [window] = windows([silence], Loud(), max_segment_s=4.0, whole_if_short=True)
        assert window.segments == []
    [window] = windows(blocks(silence), Loud(), max_segment_s=4.0, whole_if_short=True)
    assert window.segments == []
    [(_, _, pieces)] = transcribe(
        owned([window]), lambda audios: [Transcript("", 0, 0.0)] * len(audios)
    )
    assert pieces == []


def test_short_recordings_are_transcribed_together() -> None:
    """Pieces of all windows that WINDOW holds at once; each text goes to its own recording.

    No more is read ahead, so that the first are there while the last are not yet read.
    """
    asked: list[list[int]] = []
    num_read = 0

    def read() -> Iterator[tuple[str, Window]]:
        nonlocal num_read
        for number in range(60):
            num_read += 1
            audio = np.zeros(6 * RATE_HZ, np.float32)
            spoken = [Segment(at, at + 1 + number) for at in range(0, 100 * (number % 3), 100)]
            yield f"{number}", Window(7, audio, spoken)

    def pieces(audios: list[Audio]) -> list[Transcript]:
        asked.append([len(audio) for audio in audios])
        return [Transcript(f"{len(audio) - 1}", 1, 0.0) for audio in audios]

    ahead = []
    for number, (owner, window, found) in enumerate(transcribe(read(), pieces)):
        ahead.append(num_read - number)
        assert owner == f"{number}"
        assert isinstance(found, list)
        assert [piece.transcript.text for piece in found] == [owner] * (number % 3)
        assert [piece.segment for piece in found] == [
            Segment(7 + s.start, 7 + s.end) for s in window.segments
        ]
    assert max(ahead) == 20
    assert len(asked) == 3


def test_what_the_model_refuses_is_the_error_of_its_recording() -> None:
    """Others of the same batch have their texts."""

    def pieces(audios: list[Audio]) -> list[Transcript]:
        if any(len(audio) == 30 for audio in audios):
            raise DataError("thirty")
        return [Transcript(f"{len(audio)}", 1, 0.0) for audio in audios]

    given = [(n, Window(0, np.zeros(n, np.float32), [Segment(0, n)])) for n in (10, 30, 20)]
    found = {owner: heard for owner, _, heard in transcribe(given, pieces)}
    assert str(found.pop(30)) == "thirty"
    for owner, heard in found.items():
        assert isinstance(heard, list)
        assert [piece.transcript.text for piece in heard] == [f"{owner}"]


def test_what_a_detector_is_unsure_of_is_heard_in_short_recordings() -> None:
    """Sentences in which silero finds no stretch of speech are whole all the same; noise is not."""
    silero = load_detector("silero")
    for number, text in enumerate(
        ["ん…、凛、待ってよ。", "えへへ、葵、おかえり。", "えへへ、凛。"]
    ):
        audio = speak(text, 1)
        assert silero.speech(audio) == [], number
        [window] = windows([audio], silero, max_segment_s=30.0, whole_if_short=True)
        assert window.segments == [Segment(0, len(audio))]
    draw = np.random.default_rng(0)
    hiss = (0.1 * draw.standard_normal(5 * RATE_HZ)).astype(np.float32)
    hum = (0.2 * np.sin(2 * np.pi * 50 * np.arange(5 * RATE_HZ) / RATE_HZ)).astype(np.float32)
    clicks = np.zeros(5 * RATE_HZ, np.float32)
    clicks[::4000] = 1.0
    for other in (hiss, hum, clicks, noise(5.0), np.zeros(0, np.float32)):
        [window] = windows([other], silero, max_segment_s=30.0, whole_if_short=True)
        assert window.segments == []


def test_segments_hug_their_sound() -> None:
    """In silence they begin and end with it, soft sounds before included; in noise they stay."""
    audio, [bound] = stitch([0.1 + noise(2.0)], [3.0, 3.0])
    wide = Segment(bound.start - 3200, bound.end + 3200)
    found = fit(audio, wide, 0)
    assert abs(found.start - bound.start) <= 320
    assert abs(found.end - bound.end) <= 320
    soft = audio.copy()
    soft[bound.start - 8000 : bound.start - 6400] = 0.01
    assert abs(fit(soft, wide, 0).start - (bound.start - 8000)) <= 320
    assert fit(soft, wide, bound.start - 4000).start >= bound.start - 4000
    noisy = audio + (0.003 * np.random.default_rng(0).standard_normal(len(audio))).astype("f4")
    assert fit(noisy, wide, 0).start >= wide.start - 160
    assert fit(noisy, wide, 0).end == wide.end
    assert fit(np.zeros(9000, np.float32), Segment(10, 5000), 0) == Segment(10, 5000)
    assert fit(audio, Segment(wide.start, wide.start + 5), 0) == Segment(wide.start, wide.start + 5)


def test_rendered_sentences_are_found_where_they_are() -> None:
    """By silero, within 0.2 s."""
    texts = ["えへへ、先輩が好き。", "すごーい、葵！", "公園で帰ろうよ、凛。", "おはよう、美咲。"]
    audio, bounds = stitch([speak(text, i) for i, text in enumerate(texts)], [1.0] * 5)
    [window] = windows([audio], load_detector("silero"), max_segment_s=10.0, max_gap=6400)
    assert len(window.segments) == len(bounds)
    for segment, bound in zip(window.segments, bounds, strict=True):
        assert abs(segment.start_s - bound.start_s) < 0.2
        assert abs(segment.end_s - bound.end_s) < 0.2
