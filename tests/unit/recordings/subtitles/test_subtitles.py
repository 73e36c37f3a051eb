"""Cues can be read: one at a time, two lines at most, and nothing of the text is lost."""

import doctest
import io
import itertools
import random
import re

import pytest
import srt
import webvtt

from galgame_asr.recordings import doubt
from galgame_asr.recordings.doubt import MARK
from galgame_asr.recordings.subtitles import files, lines
from galgame_asr.recordings.subtitles.cues import (
    GAP_S,
    MAX_S,
    MIN_S,
    Cue,
    Spoken,
    Style,
    Subtitles,
    make,
)
from galgame_asr.recordings.subtitles.lines import width, wrap

SENTENCES = [
    "ねえ、明日の放課後、駅前に新しくできた喫茶店へ一緒に行ってみない？",
    "えっ。",
    "うん、いいよ！",
    "「傘を忘れたの」って、あの子は笑いながら言っていた。",
    "アルバイトのスケジュール、ちゃんとチェックしておいてね…。",
    "OK！",
    "Wi-Fi router のパスワードは 0815 だよ。",
    "ほんとに？！",
    "昨日の夜は星がとてもきれいで、ずっと空を見上げていたら首が痛くなってしまったんだ。",
    "ま、まさか",
    "コンピューターゲームミュージックコンサートチケットキャンペーンスペシャルエディション",
]


def speech(seed: int) -> list[Spoken]:
    """Pieces of one to four sentences at about the speed of speech, some without pause between."""
    draw = random.Random(seed)
    pieces, at = [], draw.random()
    for _ in range(30):
        text = "".join(draw.choices(SENTENCES, k=draw.randint(1, 4)))
        end = at + max(0.3, len(text) / draw.uniform(5, 12))
        pieces.append(Spoken(at, end, text))
        at = end + draw.choice([0.0, 0.05, 0.5, 3.0])
    return pieces


def shown(made: Subtitles) -> str:
    return bare("".join(line for cue in made.cues for line in cue.lines))


def bare(text: str) -> str:
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("module", [lines, doubt])
def test_examples(module: object) -> None:
    """The examples in the docstrings."""
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("line_width", [4.0, 13.0, 20.0])
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_said_can_be_read(seed: int, line_width: float) -> None:
    """Rising and disjoint, at most two lines of the width, within 7 s; all text in order."""
    spoken = speech(seed)
    style = Style(line_width=line_width, guard="keep")
    made = make(spoken, style)
    assert shown(made) == bare("".join(piece.text for piece in spoken))
    for cue in made.cues:
        assert 0 < cue.end_s - cue.start_s <= MAX_S + 1e-9
        assert 1 <= len(cue.lines) <= 2
        assert all(line and width(line) <= line_width for line in cue.lines)
    for one, other in itertools.pairwise(made.cues):
        assert one.end_s <= other.start_s
    starts = {cue.start_s for cue in made.cues}
    assert starts >= {piece.start_s for piece in spoken}


def test_a_cue_stays_for_its_readers() -> None:
    """Longer than its speech where silence follows; not into the next cue nor over the end."""
    quick = "明日の放課後に駅前で"  # 10 letters
    style = Style(reading_speed=5.0)
    [cue] = make([Spoken(1.0, 2.0, quick)], style).cues
    assert (cue.start_s, cue.end_s) == (1.0, 3.0)
    made = make([Spoken(1.0, 2.0, quick), Spoken(2.5, 6.0, "うん")], style)
    assert made.cues[0].end_s == pytest.approx(2.5 - GAP_S)
    assert made.num_fast == 1
    made = make([Spoken(1.0, 2.0, quick)], style, recording_s=2.2)
    assert made.cues[0].end_s == pytest.approx(2.2)
    made = make([Spoken(1.0, 2.0, quick), Spoken(2.01, 6.0, "うん")], style)
    assert made.cues[0].end_s == 2.0
    [cue] = make([Spoken(1.0, 1.2, "えっ")], style).cues
    assert cue.end_s == 1.0 + MIN_S
    [cue] = make([Spoken(1.0, 12.0, "えっ")], style).cues
    assert cue.end_s == 1.0 + MAX_S


def test_long_speech_is_cut_between_sentences() -> None:
    """With time by letters; a sentence of more than two lines between its clauses."""
    text = "今日は雨だから家にいる。明日は晴れるって！じゃあ、海まで行こうか？"
    made = make([Spoken(10.0, 20.0, text)], Style())
    assert [cue.lines for cue in made.cues] == [
        ("今日は雨だから家にいる。",),
        ("明日は晴れるって！", "じゃあ、海まで行こうか？"),
    ]
    assert made.cues[0].end_s == made.cues[1].start_s == pytest.approx(10 + 10 * 11 / 29)
    made = make([Spoken(0.0, 6.0, SENTENCES[8])], Style())
    assert made.cues[0].lines[-1].endswith("きれいで、")


def test_lines_break_between_phrases() -> None:
    """Not inside of words, and of similar width; in a word only if it is wider than a line."""
    assert wrap("駅前に新しくできた喫茶店へ、一緒に行ってみない？", 20) == (
        "駅前に新しくできた喫茶店へ、",
        "一緒に行ってみない？",
    )
    pair = wrap("カ" * 30, 20)
    assert pair is not None
    assert "".join(pair) == "カ" * 30
    assert wrap("ア" * 41, 20) is None
    assert wrap("x" * 40, 20) == ("x" * 40,)
    for text in SENTENCES:
        for line in (wrap(text, 14) or ())[1:]:
            assert line[0] not in lines.NOT_FIRST


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("好きだよ" * 8, 5.0), ("あ" * 40, 8.0), ("ご視聴ありがとうございました、またね。", 0.6)],
)
def test_what_is_made_up_is_dropped_or_marked(text: str, duration_s: float) -> None:
    """Loops and what is faster than anyone speaks, each counted with its reason."""
    spoken = [Spoken(0.0, 1.0, "うん。"), Spoken(2.0, 2.0 + duration_s, text)]
    made = make(spoken, Style())
    assert [cue.lines for cue in made.cues] == [("うん。",)]
    [doubt] = made.doubts
    assert doubt.spoken == spoken[1]
    assert doubt.reason
    made = make(spoken, Style(guard="mark"))
    assert made.cues[1].lines[0].startswith(MARK)
    assert shown(made) == f"うん。{MARK}{text}"
    made = make(spoken, Style(guard="keep"))
    assert shown(made) == f"うん。{text}"
    assert len(made.doubts) == 1


def test_silence_has_no_cue() -> None:
    """Nor has a text without letters."""
    made = make([Spoken(0.0, 1.0, ""), Spoken(2.0, 3.0, " …。")], Style())
    assert made == Subtitles([], [], 0)
    for format_ in ("srt", "vtt", "ass"):
        assert files.text([], format_) is not None


def test_files_hold_the_cues_and_no_markup() -> None:
    """Times to the millisecond, or to 10 ms in ASS; signs of markup in full width."""
    made = [Cue(0.5, 1.9994, ("<i>傘", "{\\b1}--> &amp;")), Cue(3599.9999, 3602.25, ("凪。",))]
    expected = ["＜i＞傘\n｛＼b1｝--＞ ＆amp;", "凪。"]
    parsed = list(srt.parse(files.text(made, "srt")))
    assert [cue.content for cue in parsed] == expected
    assert [cue.end.total_seconds() for cue in parsed] == [1.999, 3602.25]
    vtt = webvtt.from_buffer(io.StringIO(files.text(made, "vtt")))
    assert [cue.text for cue in vtt.captions] == expected
    assert vtt.captions[1].start == "01:00:00.000"
    rows = re.findall(r"^Dialogue: \d+,([\d:.]+),([\d:.]+),.*?,,0,0,0,,(.*)$", ass(made), re.M)
    assert rows == [
        ("0:00:00.50", "0:00:02.00", expected[0].replace("\n", "\\N")),
        ("1:00:00.00", "1:00:02.25", "凪。"),
    ]


def ass(made: list[Cue]) -> str:
    return files.text(made, "ass")
