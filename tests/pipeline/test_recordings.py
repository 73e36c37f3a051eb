"""Recordings become texts and subtitles that other programs read, timed as they were spoken."""

import io
import itertools
import logging
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import srt
import webvtt
from numpy.typing import NDArray
from ruamel.yaml import YAML

from galgame_asr.cli import dispatch, make_parser
from galgame_asr.decoding.segments import Audio, Segment
from galgame_asr.decoding.transcribe import Decoder
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.formats.common import exporter as exporting
from galgame_asr.messages.errors import CheckpointError, ConfigError, DataError
from galgame_asr.recordings import containers
from galgame_asr.recordings import files as recordings
from galgame_asr.recordings.doubt import MARK
from galgame_asr.recordings.subtitles import files
from galgame_asr.runtimes import load as runtimes
from tests.conftest import REPOSITORY
from tests.models import build, build_whisper, noise
from tests.recordings import RATE_HZ, speak, stitch, write

SENTENCES = [
    "えへへ、先輩が好き。", "すごーい、葵！", "公園で帰ろうよ、凛。", "おはよう、美咲。",
    "もう、詩織はずるいね。", "海で遊ぼうよ、先輩。", "葵、照れてるの？", "ふふっ、凛、おかえり。",
]  # fmt: skip
Recording = tuple[NDArray[np.float32], list[Segment]]


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Three minutes: each sentence several times, 1 to 6 s apart."""
    draw = random.Random(0)
    spoken = [speak(text, number) for number, text in enumerate(SENTENCES)]
    audio, bounds = stitch(spoken * 5, [draw.uniform(1.0, 6.0) for _ in range(41)])
    assert 170 < len(audio) / 16_000 < 230
    return audio, bounds


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_whisper(tmp_path_factory.mktemp("whisper") / "base")


@pytest.fixture(scope="module")
def ctranslate2(whisper: Path) -> Path:
    pytest.importorskip("ctranslate2", reason="needs the extra whisper: make .venv/dev")
    directory = whisper.with_name("ct2")
    directory.mkdir()
    exporting.load("ctranslate2").export(whisper, directory, "float32")
    return directory


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, for short texts; the commands run in it."""
    values = YAML().load(REPOSITORY / "params.yaml")
    values["decode"]["max_new_tokens"] = 8
    YAML().dump(values, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seconds(clock: str) -> float:
    hours, minutes, rest = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def ass_times(text: str) -> list[tuple[float, float, str]]:
    """The events of an ASS file, as its specification orders their fields."""
    assert re.search(r"^\[V4\+ Styles\]$", text, re.M)
    fields = [row.split(",", 9) for row in re.findall(r"^Dialogue: (.*)$", text, re.M)]
    return [(seconds(f[1]), seconds(f[2]), f[9].replace("\\N", "\n")) for f in fields]


PARSERS: dict[str, Callable[[str], list[tuple[float, float, str]]]] = {
    "srt": lambda text: [
        (cue.start.total_seconds(), cue.end.total_seconds(), cue.content) for cue in srt.parse(text)
    ],
    "vtt": lambda text: [
        (seconds(cue.start), seconds(cue.end), cue.text)
        for cue in webvtt.from_buffer(io.StringIO(text)).captions
    ],
    "ass": ass_times,
}


def by_length(_decoder: Decoder, pieces: list[Audio]) -> list[Transcript]:
    """Instead of a model: texts by which the pieces can be told apart."""
    return [Transcript(f"第{len(piece)}番、雨が降る。", 1, 0.0) for piece in pieces]


@pytest.mark.parametrize(("suffix", "formats"), [(".mp3", ["srt"]), (".mp4", ["vtt", "ass"])])
def test_three_minutes_become_subtitles(
    recording: Recording, model: Path, here: Path, monkeypatch: pytest.MonkeyPatch,
    suffix: str, formats: list[str],
) -> None:  # fmt: skip
    """Every format, read by another library; a cue for each sentence, when it is spoken."""
    audio, bounds = recording
    path = here / f"three minutes{suffix}"
    write(path, audio, video=suffix == ".mp4")
    monkeypatch.setattr(Decoder, "pieces", by_length)
    for format_ in formats:
        dispatch(["subtitle", path.name, f"--format={format_}", f"--model={model}"])
        cues = PARSERS[format_](path.with_suffix(f".{format_}").read_text("utf-8"))
        assert len(cues) == len(bounds)
        for (start_s, end_s, text), bound in zip(cues, bounds, strict=True):
            assert abs(start_s - bound.start_s) < 0.3
            assert abs(end_s - bound.end_s) < 0.3
            assert abs(int(re.findall(r"\d+", text)[0]) / RATE_HZ - (end_s - start_s)) < 0.3
            assert text.endswith("番、雨が降る。")
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(cues))


@pytest.mark.parametrize("family", ["fun_asr_nano", "whisper", "ctranslate2"])
def test_texts_are_those_of_the_pieces_alone(
    recording: Recording, here: Path, family: str, request: pytest.FixtureRequest
) -> None:
    """Batches change nothing; subtitles have the texts that decoding each piece gives.

    With models of both families, and an export.
    """
    model = request.getfixturevalue("model" if family == "fun_asr_nano" else family)
    assert runtimes.detect(model) == family
    if family != "fun_asr_nano":
        values = YAML().load(here / "params.yaml")
        values["prompts"] = {"japanese": {"language": "ja"}}
        YAML().dump(values, here / "params.yaml")
    audio, bounds = recording
    write(here / "a.flac", audio[: bounds[11].end + 8000])
    dispatch(["subtitle", "a.flac", "--format=srt", f"--model={model}", "--guard=keep"])
    cues = PARSERS["srt"](Path("a.srt").read_text("utf-8"))
    options = make_parser().parse_args(["subtitle", "a.flac", "--format=srt", f"--model={model}"])
    decoder = recordings.make_decoder(options)
    sound = np.concatenate(list(containers.read(here / "a.flac")))
    pieces = list(recordings.listen(here / "a.flac", None, decoder, subtitles=True))
    assert len(pieces) >= 12
    texts = [
        decoder.pieces([sound[piece.segment.start : piece.segment.end]])[0].text for piece in pieces
    ]
    assert [piece.transcript.text for piece in pieces] == texts
    assert bare("".join(cue[2] for cue in cues)) == bare("".join(texts))


def test_transcripts_are_printed(
    model: Path, here: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """With names of several files; a short one whole; the log names model, prompt and speed."""
    write(here / "a.wav", speak(SENTENCES[0]))
    write(here / "b.ogg", speak(SENTENCES[1]))
    monkeypatch.setattr(Decoder, "pieces", by_length)
    (here / "models").mkdir()
    (here / "models/averaged").symlink_to(model)
    with caplog.at_level(logging.INFO, logger="galgame_asr"):
        dispatch(["transcribe", "a.wav", "b.ogg", "--prompt", "none", "--hotwords", "葵", "凛"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == ["==> a.wav <==", "==> b.ogg <=="]
    assert lines[1] == f"第{len(speak(SENTENCES[0]))}番、雨が降る。"
    assert (
        "model models/averaged (the last of decode.checkpoints), prompt none 葵 凛" in caplog.text
    )
    assert "times as fast as speech" in caplog.text
    dispatch(["transcribe", "a.wav", "b.ogg", "--output", "texts"])
    assert Path("texts/a.txt").read_text("utf-8") == f"{lines[1]}\n"
    assert Path("texts/b.txt").exists()


def test_each_file_stands_for_itself(
    here: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is shorter than a frame has an empty text; what cannot be read is named at the end."""
    write(here / "a.wav", speak(SENTENCES[0]))
    write(here / "10ms.wav", noise(0.01))
    write(here / "100ms.wav", speak(SENTENCES[0])[:1600])
    (here / "page.wav").write_text("<html>")
    names = ["10ms.wav", "none.wav", "page.wav", "100ms.wav", "a.wav"]
    with pytest.raises(DataError, match=r"2 of 5 files failed, .*: none\.wav, page\.wav"):
        dispatch(["transcribe", *names, f"--model={model}"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["==> 10ms.wav <==", "==> 100ms.wav <=="]
    assert printed[-2] == "==> a.wav <=="


@pytest.mark.parametrize(("guard", "expected"), [("keep", ""), ("mark", MARK), ("drop", None)])
def test_what_is_likely_made_up_is_named(
    here: Path, model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    guard: str, expected: str | None,
) -> None:  # fmt: skip
    """A loop in a transcript, by the same rule as in subtitles; kept unless told otherwise."""
    loop = "好き" * 8

    def pieces(_decoder: Decoder, pieces: list[Audio]) -> list[Transcript]:
        return [Transcript(loop, 8, 0.0) for _ in pieces]

    monkeypatch.setattr(Decoder, "pieces", pieces)
    write(here / "a.wav", speak(SENTENCES[0]))
    options = [] if guard == "keep" else [f"--guard={guard}"]
    dispatch(["transcribe", "a.wav", "--output=a.txt", f"--model={model}", *options])
    lines = (here / "a.txt").read_text().splitlines()
    assert lines == ([] if expected is None else [expected + loop])
    assert f"repeats itself: 16 letters, likely made up ({guard})" in caplog.text


def test_silence_and_noise_say_nothing(here: Path, model: Path) -> None:
    """Also where they are shorter than a piece, which the model would fill with a sentence."""
    write(here / "silence.wav", np.zeros(5 * RATE_HZ, np.float32))
    write(here / "noise.wav", noise(6.0))
    names = ["silence", "noise"]
    dispatch(["transcribe", *(f"{n}.wav" for n in names), "--output=.", f"--model={model}"])
    assert [(here / f"{name}.txt").read_text() for name in names] == ["", ""]


def test_no_cue_outlasts_its_recording(
    here: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of 0.45 s, shorter than a cue is shown otherwise."""
    monkeypatch.setattr(Decoder, "pieces", by_length)
    write(here / "a.wav", speak("葵、おはよう。", 0)[:7200])
    dispatch(["subtitle", "a.wav", "--format=srt", f"--model={model}", "--guard=keep"])
    (line,) = re.findall(r"--> 00:00:0(\d,\d+)", (here / "a.srt").read_text())
    assert float(line.replace(",", ".")) <= 0.45


@pytest.mark.parametrize(
    ("command", "error", "message"),
    [
        ("transcribe a.wav --prompt japanes", ConfigError, "no key 'japanes'. Did you mean 'jap"),
        ("transcribe b.wav", DataError, "b.wav does not exist"),
        ("subtitle params.yaml --format srt", DataError, "params.yaml is no audio or video"),
        ("transcribe a.wav", CheckpointError, "models/averaged .the last of decode.checkpoints."),
        (
            "transcribe a.wav --model params.yaml",
            CheckpointError,
            "params.yaml .as told. is no dir",
        ),
        (
            "transcribe a.wav --model .",
            CheckpointError,
            "no model directory of a known family",
        ),
        ("subtitle a.wav x/a.mp3 --format srt --output .", ConfigError, "would both become a.srt"),
        ("transcribe a.wav --output a.wav --force", ConfigError, "a.wav is there already"),
        ("subtitle a.wav --format vtt", ConfigError, "a.vtt is there already; --force"),
        ("subtitle a.wav --format srt --line-width 2", ConfigError, "must be at least 4"),
    ],
)
def test_what_cannot_be_done_is_told(
    here: Path, command: str, error: type[Exception], message: str
) -> None:
    """Before a model is loaded, and before anything is written."""
    write(here / "a.wav", np.zeros(16_000, np.float32))
    (here / "a.vtt").write_text("mine")
    with pytest.raises(error, match=message):
        dispatch(command.split())
    assert (here / "a.vtt").read_text() == "mine"
    assert not (here / "a.srt").exists()


def bare(text: str) -> str:
    return re.sub(r"\s", "", text.translate(files._MARKUP))
