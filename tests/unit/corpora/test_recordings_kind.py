"""Kind `recordings`: what becomes an utterance, what a draft, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr

from galgame_asr.core.params import parse
from galgame_asr.core.reader import ShardReader
from galgame_asr.corpora.recordings import containers, fetch, subtitles
from galgame_asr.corpora.recordings.params import Recordings
from galgame_asr.corpora.recordings.timing import Cue
from galgame_asr.messages.errors import DataError
from tests.corpora import manifest, put
from tests.recordings import RATE_HZ, speak, stitch, write

SRT = """1
00:00:01,000 --> 00:00:02,500
おはよう、
美咲。

2
00:00:03,500 --> 00:00:05,000
<i>海で遊ぼうよ</i>
"""
VTT = """WEBVTT

NOTE nobody says this

00:01.000 --> 00:02.500 align:start
<v 葵>おはよう、
美咲。

00:03.500 --> 00:05.000
A &amp; B
are here
"""
ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour
Style: Default,Arial,20,&H00FFFFFF

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,a note
Dialogue: 1,0:00:03.50,0:00:05.00,Default,葵,0,0,0,,{\\i1}海で{\\i0}\\N遊ぼうよ
Dialogue: 0,0:00:03.50,0:00:05.00,Default,葵,0,0,0,,海で遊ぼうよ
Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,おはよう、美咲。
Dialogue: 0,0:00:06.00,0:00:07.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0{\\p0}
"""
FIRST = Cue(1.0, 2.5, "おはよう、美咲。")


@pytest.mark.parametrize(
    ("name", "text", "second"),
    [
        ("a.srt", SRT, "海で遊ぼうよ"),
        ("a.srt", f"\ufeff{SRT}".replace("\n", "\r\n"), "海で遊ぼうよ"),
        ("a.vtt", VTT, "A & B are here"),
        ("a.ass", ASS, "海で遊ぼうよ"),
    ],
)
def test_cues_are_read(tmp_path: Path, name: str, text: str, second: str) -> None:
    """Of each format: in order, in one line, without markup, comments, drawings and copies."""
    put(tmp_path, {name: text})
    assert subtitles.read(tmp_path / name) == [FIRST, Cue(3.5, 5.0, second)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SRT.encode("cp932"), r"a\.srt line 3 is not UTF-8"),
        (b"", r"a\.srt (is no srt file|has no cue)"),
        (b"nothing", r"a\.srt (is no srt file|has no cue)"),
        ("1\n00:00:02,000 --> 00:00:02,000\nはい\n".encode(), r"a\.srt has no cue"),
    ],
)
def test_what_is_no_subtitle_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """Named, and with what to do."""
    put(tmp_path, {"a.srt": content})
    with pytest.raises(DataError, match=message):
        subtitles.read(tmp_path / "a.srt")


def names(root: Path) -> dict[str, tuple[str | None, bool]]:
    found = fetch.recordings(root)
    return {r.name: (r.subtitles.name if r.subtitles else None, r.is_draft) for r in found}


def test_a_second_models_subtitles_are_known(tmp_path: Path) -> None:
    """They stand beside the first's; beside a person's they say nothing."""
    put(tmp_path, dict.fromkeys(["a.mp4", "a.draft.srt", "a.draft2.vtt", "b.wav", "b.srt"], ""))
    first, other = fetch.recordings(tmp_path)
    assert first.subtitles == tmp_path / "a.draft.srt"
    assert (first.second, other.second) == (tmp_path / "a.draft2.vtt", None)


def test_subtitles_belong_to_the_file_beside_them(tmp_path: Path) -> None:
    """Also with a language; a person's before a model's; forks of macOS and other files not."""
    files = [
        "a.mp4", "a.srt", "a.draft.srt", "b.mkv", "b.ja.vtt", "b.ja.mkv", "c.wav", "d/e.MP3",
        "d/e.draft.ass", "d/e.txt", "f.mp4", "f.zh.srt", "._f.srt", "._g.mp4", "lonely.srt",
    ]  # fmt: skip
    put(tmp_path, dict.fromkeys(files, ""))
    assert names(tmp_path) == {
        "a": ("a.srt", False), "b": (None, True), "b.ja": ("b.ja.vtt", False), "c": (None, True),
        "d/e": ("e.draft.ass", True), "f": ("f.zh.srt", False),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["a.txt"], "holds no recording"),
        (["a.mp4", "a.wav"], r"a\.mp4 and .*a\.wav would have the same ids"),
        (["a.mp4", "a.draft2.srt"], r"a\.draft2\.srt is a second model's, but there is no first"),
        (["a.mp4", "a.draft.srt", "a.draft2.srt", "a.draft2.vtt"], r"a\.mp4 has 2 subtitles"),
        (["a.mp4", "a.srt", "a.ja.srt"], r"a\.mp4 has 2 subtitles, .*a\.ja\.srt, .*; keep one"),
    ],
)
def test_what_is_ambiguous_is_refused(tmp_path: Path, files: list[str], message: str) -> None:
    """Rather than one of two taken."""
    put(tmp_path, dict.fromkeys(files, ""))
    with pytest.raises(DataError, match=message):
        fetch.recordings(tmp_path)


def test_cues_that_are_shown_together_are_known() -> None:
    """A little is none; one long cue takes all under it along."""
    times = [(0.0, 2.0), (1.9, 3.0), (3.0, 9.0), (4.0, 5.0), (6.0, 7.0), (9.5, 10.0)]
    assert fetch.overlapping([Cue(*time, "x") for time in times]) == {2, 3, 4}


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A film of three sentences, below the present folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").mkdir()
    parts = [
        speak(text, number)
        for number, text in enumerate(["おはよう、美咲。", "海で遊ぼうよ、先輩。", "だーいすき。"])
    ]
    audio, bounds = stitch(parts, [1.0, 1.5, 2.0, 3.0])
    write(tmp_path / "films/1.mp4", audio, video=True)
    np.save(tmp_path / "bounds.npy", [[s.start_s, s.end_s] for s in bounds])
    return tmp_path / "films"


def srt(bounds: "np.typing.NDArray[np.float64]", texts: list[str]) -> str:
    """A file of cues with these times."""

    def clock(time_s: float) -> str:
        return f"00:{int(time_s // 60):02}:{time_s % 60:06.3f}".replace(".", ",")

    cues = zip(bounds, texts, strict=True)
    return "\n".join(
        f"{n}\n{clock(a)} --> {clock(b)}\n{text}\n" for n, ((a, b), text) in enumerate(cues, 1)
    )


def entry(path: Path, shard_size: int, **more: float) -> Recordings:
    values = {"kind": "recordings", "path": str(path), "shard_size": shard_size, **more}
    return parse(Recordings, values, "corpora.c")


def test_two_models_that_agree_make_a_training_row(film: Path) -> None:
    """Within the threshold, whatever their punctuation and cuts; a person decides after all."""
    bounds = np.load(film.parent / "bounds.npy")
    put(film, {"1.draft.srt": srt(bounds, ["おはよう、美咲。", "海で遊ぼうよ先輩", "大好き"])})
    (first, last), second, third = bounds[0], bounds[1], bounds[2]
    cut = np.array([[first, (first + last) / 2], [(first + last) / 2, last], second, third])
    put(film, {"1.draft2.srt": srt(cut, ["おはよう", "美咲", "海で遊ぼうぜ先輩", "だーいすき"])})
    assert flags(film) == [["draft"]] * 3
    assert flags(film, pseudo_max_cer=0.0) == [["pseudo"], ["draft"], ["draft"]]
    assert flags(film, pseudo_max_cer=0.2) == [["pseudo"], ["pseudo"], ["draft"]]
    (film / "1.draft2.srt").unlink()
    assert flags(film, pseudo_max_cer=0.2) == [["draft"]] * 3


def flags(film: Path, **more: float) -> list[list[str]]:
    """Of the rows in the order of their times; pseudo ones are upstream's train, others free."""
    shutil.rmtree(film.parent / "data", ignore_errors=True)
    rows = manifest(entry(film, 2, **more))
    for row in rows.values():
        assert (row["upstream_set"] == "train") == ("pseudo" in row["flags"])
    return [rows[id_]["flags"] for id_ in sorted(rows, key=lambda id_: float(id_.split("-")[1]))]


def test_cues_become_utterances_and_drafts(film: Path) -> None:
    """Late cues find their sentences; what nobody says, and what has no words, is a draft."""
    bounds = np.load(film.parent / "bounds.npy")
    times = [*(bounds + 0.6), (bounds[-1][1] + 1.8, bounds[-1][1] + 2.8)]
    texts = ["おはよう、美咲。", "♪～", "だーいすき。", "もうだれもいない"]
    put(film, {"1.srt": srt(np.array(times), texts)})
    rows = manifest(entry(film, 100))
    assert len(rows) == 4
    by_text = {row["text"]: row for row in rows.values()}
    assert [by_text[text]["flags"] for text in ("おはよう、美咲。", "だーいすき。")] == [[], []]
    assert "draft" in by_text["♪～"]["flags"]
    assert "draft" in by_text["もうだれもいない"]["flags"]
    for text, (start_s, end_s) in zip(texts[:3], bounds, strict=False):
        assert by_text[text]["duration_s"] == pytest.approx(end_s - start_s, abs=0.25)
        assert by_text[text]["sample_rate_hz"] == RATE_HZ
    # The id has the times of the file, which no detector changes.
    start_s, end_s = bounds[0] + 0.6
    assert f"1-{start_s:.3f}-{end_s:.3f}" in rows
    assert not {row["upstream_set"] for row in rows.values()} & {"draft", "train", "dev", "test"}


def test_recordings_that_stay(film: Path) -> None:
    """The same rows and samples as of copies, read out of the files; not of what loses samples."""
    bounds = np.load(film.parent / "bounds.npy")
    put(film, {"1.srt": srt(bounds, ["一", "二", "三"])})
    with pytest.raises(DataError, match=r"copy: parts of .*1\.mp4, which is nothing that libsndf"):
        manifest(entry(film, 2, copy=False))
    sound = np.concatenate(list(containers.read(film / "1.mp4")))
    write(film / "1.flac", sound)
    (film / "1.mp4").unlink()
    copied = manifest(entry(film, 2))
    spoken = {id_: ShardReader(Path("data/raw")).read_row(row) for id_, row in copied.items()}
    (film.parent / "data").rename(film.parent / "old")
    rows = manifest(entry(film, 2, copy=False))
    assert rows.keys() == copied.keys()
    for id_, row in rows.items():
        assert row["shard"].startswith("@c/1.flac#")
        assert (row["text"], row["flags"]) == (copied[id_]["text"], [])
        own = ShardReader(Path("data/raw")).read_row(row)
        np.testing.assert_allclose(own, spoken[id_], atol=2 / 32768)
    # At its own rate, in two channels.
    shutil.rmtree(film.parent / "data")
    wide = soxr.resample(sound, RATE_HZ, 48_000)
    sf.write(film / "1.flac", np.stack([wide, wide], 1), 48_000)
    for row in manifest(entry(film, 2, copy=False)).values():
        assert row["flags"] == ["sample_rate", "channels"]
        own = ShardReader(Path("data/raw")).read_row(row)
        assert len(own) / RATE_HZ == pytest.approx(row["duration_s"], abs=1e-3)
        assert np.abs(own).max() > 0.1


def test_a_recording_without_subtitles_is_drafts(film: Path) -> None:
    """A piece for each sentence, without a text; and a model's subtitles are drafts with one."""
    bounds = np.load(film.parent / "bounds.npy")
    rows = manifest(entry(film, 2))
    assert len(rows) == 3
    assert all({"draft", "text_missing"} <= set(row["flags"]) for row in rows.values())
    found = [float(id_.split("-")[1]) for id_ in rows]
    np.testing.assert_allclose(sorted(found), bounds[:, 0], atol=0.15)
    put(film, {"1.draft.srt": srt(bounds, ["一", "二", "三"])})
    (film.parent / "data").rename(film.parent / "old")
    rows = manifest(entry(film, 2))
    assert [row["text"] for row in rows.values()] == ["一", "二", "三"]
    assert all("draft" in row["flags"] for row in rows.values())
