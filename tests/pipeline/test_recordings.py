"""Recordings become texts and subtitles that other programs read, timed as they were spoken."""

import io
import itertools
import json
import logging
import math
import random
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import srt
import torch
import webvtt
from numpy.typing import NDArray
from ruamel.yaml import YAML

from galgame_asr.cli import dispatch, make_parser
from galgame_asr.corpora.recordings import containers
from galgame_asr.decoding.segments import Audio, Segment
from galgame_asr.decoding.transcribe import Decoder, Task
from galgame_asr.families.common import defaults
from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.families.fun_asr_nano.family import FunAsrNano
from galgame_asr.formats.common import exporter as exporting
from galgame_asr.messages.errors import CheckpointError, ConfigError, DataError
from galgame_asr.recordings import files as recordings
from galgame_asr.recordings import windows
from galgame_asr.recordings.doubt import MARK
from galgame_asr.recordings.subtitles import files
from galgame_asr.recordings.windows import Piece
from galgame_asr.runtimes import load as runtimes
from tests import nanos
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
    """An empty folder that the commands run in: no params.yaml."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def project(here: Path) -> Path:
    """The same with the default's params.yaml, whose decoding would show in every text."""
    values = YAML().load(REPOSITORY / "params.yaml")
    values["decode"]["max_new_tokens"] = 1
    YAML().dump(values, here / "params.yaml")
    return here


def chosen(*options: str) -> Task:
    """What a command decodes with."""
    return recordings.make_decoder(make_parser().parse_args(["transcribe", "a.wav", *options])).task


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
    audio, bounds = recording
    write(here / "a.flac", audio[: bounds[11].end + 8000])
    dispatch(["subtitle", "a.flac", "--format=srt", f"--model={model}", "--guard=keep"])
    cues = PARSERS["srt"](Path("a.srt").read_text("utf-8"))
    options = make_parser().parse_args(["subtitle", "a.flac", "--format=srt", f"--model={model}"])
    decoder = recordings.make_decoder(options)
    sound = np.concatenate(list(containers.read(here / "a.flac")))
    pieces: list[Piece] = []
    recordings.Files([here / "a.flac"]).each(
        [None],
        decoder,
        lambda _path, _target, heard: pieces.extend(p for _, found in heard for p in found),
        subtitles=True,
    )
    assert len(pieces) >= 12
    texts = [
        decoder.pieces([sound[piece.segment.start : piece.segment.end]])[0].text for piece in pieces
    ]
    assert [piece.transcript.text for piece in pieces] == texts
    assert bare("".join(cue[2] for cue in cues)) == bare("".join(texts))


def test_transcripts_are_printed(
    model: Path, project: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """With names of several files; a short one whole; the log names model, prompt and speed."""
    write(project / "a.wav", speak(SENTENCES[0]))
    write(project / "b.ogg", speak(SENTENCES[1]))
    monkeypatch.setattr(Decoder, "pieces", by_length)
    (project / "models").mkdir()
    (project / "models/averaged").symlink_to(model)
    with caplog.at_level(logging.INFO, logger="galgame_asr"):
        dispatch(["transcribe", "a.wav", "b.ogg", "--prompt", "none", "--hotwords", "葵", "凛"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == ["==> a.wav <==", "==> b.ogg <=="]
    assert lines[1] == f"第{len(speak(SENTENCES[0]))}番、雨が降る。"
    told = "(the last of decode.checkpoints), prompt: no language, hotwords 葵 凛"
    assert f"model models/averaged {told}" in caplog.text
    assert "models/averaged has no galgame_asr.json" in caplog.text
    assert "2 files: 0:03 of audio, " in caplog.text
    assert "times as fast as speech" in caplog.text
    dispatch(["transcribe", "a.wav", "b.ogg", "--output", "texts"])
    assert Path("texts/a.txt").read_text("utf-8") == f"{lines[1]}\n"
    assert Path("texts/b.txt").exists()


def test_each_file_stands_for_itself(
    here: Path, model: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """What is shorter than a frame has an empty text; what cannot be read is named at the end.

    Also where that shows in the middle of a stream of batches: of `hollow.wav` the header can
    be read, and no sound.
    """
    write(here / "a.wav", speak(SENTENCES[0]))
    write(here / "10ms.wav", noise(0.01))
    write(here / "100ms.wav", speak(SENTENCES[0])[:1600])
    (here / "page.wav").write_text("<html>")
    sf.write(here / "hollow.wav", np.zeros(0), RATE_HZ)
    names = ["10ms.wav", "none.wav", "page.wav", "100ms.wav", "hollow.wav", "a.wav"]
    failed = r"3 of 6 files failed, .*: none\.wav, page\.wav, hollow\.wav"
    with pytest.raises(DataError, match=failed):
        dispatch(["transcribe", *names, f"--model={model}"])
    printed = capsys.readouterr().out.splitlines()
    heads = [line for line in printed if line.startswith("==>")]
    assert heads == [f"==> {name}.wav <==" for name in ("10ms", "100ms", "hollow", "a")]
    assert printed[1] == heads[1]
    assert printed[-2] == heads[-1]
    assert caplog.text.count("hollow.wav: none of its sound can be decoded") == 1
    with pytest.raises(DataError, match=failed):
        dispatch(["transcribe", *names, f"--model={model}", "--output=texts"])
    assert sorted(path.name for path in (here / "texts").iterdir()) == [
        "100ms.txt",
        "10ms.txt",
        "a.txt",
    ]
    with pytest.raises(DataError, match=r"hollow\.wav: none of its sound"):
        dispatch(["transcribe", "hollow.wav", f"--model={model}"])


def test_what_the_model_refuses_fails_every_file(
    here: Path, whisper: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """None of them becomes an empty result, nor is one of before replaced by such."""
    for number in range(3):
        write(here / f"{number}.wav", speak(SENTENCES[number], number))
    (here / "out").mkdir()
    (here / "out/1.txt").write_text("before")
    command = ["transcribe", "0.wav", "1.wav", "2.wav", f"--model={whisper}", "--output=out"]
    with pytest.raises(DataError, match=r"3 of 3 files failed, .*: 0\.wav, 1\.wav, 2\.wav"):
        dispatch([*command, "--force", "--language=klingon"])
    assert caplog.text.count("language 'klingon' is none") == 3
    assert [(file.name, file.read_text()) for file in (here / "out").iterdir()] == [
        ("1.txt", "before")
    ]


def test_a_result_waits_for_no_later_file(
    here: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there before what follows is transcribed, and stays when that goes wrong."""
    names = [f"{number}.wav" for number in range(4)]
    for number, name in enumerate(names):
        write(here / name, speak(SENTENCES[number], number))
    monkeypatch.setattr(windows, "WINDOW", RATE_HZ // 2)
    written: list[list[str]] = []

    def pieces(decoder: Decoder, pieces: list[Audio]) -> list[Transcript]:
        written.append(sorted(path.name for path in here.glob("*.srt")))
        if len(written) == 4:
            raise MemoryError
        return by_length(decoder, pieces)

    monkeypatch.setattr(Decoder, "pieces", pieces)
    with pytest.raises(MemoryError):
        dispatch(["subtitle", *names, "--format=srt", f"--model={model}"])
    assert written == [["0.srt", "1.srt", "2.srt"][:count] for count in range(4)]


@pytest.mark.parametrize("command", [["transcribe"], ["subtitle", "--format=srt", "--guard=keep"]])
def test_files_share_their_batches(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Eight short ones are one batch; outputs are those of each alone."""
    model = nanos.build(tmp_path / "model")
    sizes: list[int] = []
    original = FunAsrNano.transcribe_each

    def transcribe(
        self: FunAsrNano,
        features: Sequence[torch.Tensor],
        prompts: Sequence[Prompt],
        search: Search,
    ) -> list[Transcript]:
        sizes.append(len(features))
        return original(self, features, prompts, search)

    monkeypatch.setattr(FunAsrNano, "transcribe_each", transcribe)
    names = [f"{number}.wav" for number in range(8)]
    for number, name in enumerate(names):
        write(here / name, speak(SENTENCES[number], number))
    dispatch([*command, *names, f"--model={model}", "--output=together"])
    assert len(sizes) == 1
    assert sizes[0] >= 7
    for name in names:
        dispatch([*command, name, f"--model={model}", "--output=alone", "--force"])
    written = [{p.name: p.read_bytes() for p in Path(d).iterdir()} for d in ("together", "alone")]
    assert written[0] == written[1]
    assert len(written[0]) == 8
    assert len(set(written[0].values())) > 6


def test_the_model_says_how_it_is_used(model: Path, here: Path, tmp_path: Path) -> None:
    """Without params.yaml: its first prompt and its search, which options override."""
    own = shutil.copytree(model, tmp_path / "own")
    values = Defaults(
        prompts=(Prompt(language="英文", hotwords=("葵",)), Prompt()), beams=2, max_segment_s=12.0
    )
    defaults.write(own, values)
    task = chosen(f"--model={own}")
    assert task.prompt == values.prompts[0]
    assert (task.params.beams, task.params.long_audio.max_segment_s) == (2, 12.0)
    assert task.params.long_audio.vad == "silero"
    options = ["--language=中文", "--hotwords", "凛", "--beams=1", "--fsmn-vad=fsmn"]
    task = chosen(f"--model={own}", *options)
    assert task.prompt == Prompt(language="中文", hotwords=("葵", "凛"))
    assert task.params.beams == 1
    assert (task.params.long_audio.vad, task.params.long_audio.directory) == ("fsmn", "fsmn")
    with pytest.raises(ConfigError, match=r"name a model with --model DIR.*no params\.yaml"):
        chosen()
    with pytest.raises(ConfigError, match=r"params\.yaml does not exist"):
        chosen(f"--model={own}", "--prompt=none")


def test_params_are_the_pipelines(model: Path, project: Path, tmp_path: Path) -> None:
    """They change nothing for a model that is named, but what a prompt is that is named too."""
    own = shutil.copytree(model, tmp_path / "own")
    defaults.write(own, Defaults(prompts=(Prompt(language="英文"),)))
    inside = chosen(f"--model={own}")
    assert chosen(f"--model={own}", "--prompt=japanese").prompt == Prompt(language="日文")
    (project / "params.yaml").write_text("decode: {}\nprompts: nonsense\n")
    assert chosen(f"--model={own}") == inside
    (project / "params.yaml").unlink()
    assert chosen(f"--model={own}") == inside


@pytest.mark.parametrize("family", ["fun_asr_nano", "whisper"])
def test_the_duration_limits_the_text(
    here: Path, family: str, request: pytest.FixtureRequest
) -> None:
    """A model that finds no end says 25 tokens a second and 8 more, and no experiment's 48."""
    model = request.getfixturevalue("model" if family == "fun_asr_nano" else family)
    audio, _ = stitch([speak(text, number) for number, text in enumerate(SENTENCES[:4])], [0.2] * 5)
    write(here / "a.wav", audio)
    dispatch(["transcribe", "a.wav", "--format=jsonl", "--output=a.jsonl", f"--model={model}"])
    (line,) = (here / "a.jsonl").read_text("utf-8").splitlines()
    tokens, limit = json.loads(line)["tokens"], math.ceil(25 * len(audio) / RATE_HZ) + 8
    assert limit > 48
    assert tokens == limit


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


def test_a_recording_ends_where_its_sound_does(
    here: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where the header of a file that was cut off says."""
    monkeypatch.setattr(Decoder, "pieces", by_length)
    sf.write(here / "a.flac", speak(SENTENCES[2]), RATE_HZ)
    whole = (here / "a.flac").read_bytes()
    (here / "a.flac").write_bytes(whole[: len(whole) // 2])
    length_s = len(np.concatenate(list(containers.read(here / "a.flac")))) / RATE_HZ
    assert length_s < 1.1 < (containers.duration_s(here / "a.flac") or 0)
    dispatch(["subtitle", "a.flac", "--format=srt", f"--model={model}", "--guard=keep"])
    (line,) = re.findall(r"--> 00:00:0(\d,\d+)", (here / "a.srt").read_text())
    assert float(line.replace(",", ".")) <= length_s


@pytest.mark.parametrize(
    ("command", "error", "message"),
    [
        ("transcribe a.wav --prompt japanes", ConfigError, "no key 'japanes'. Did you mean 'jap"),
        ("transcribe b.wav", DataError, "b.wav does not exist"),
        ("transcribe a.wav --beams 0 --model .", ConfigError, "--beams 0: the search keeps at"),
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
    project: Path, command: str, error: type[Exception], message: str
) -> None:
    """Before a model is loaded, and before anything is written."""
    write(project / "a.wav", np.zeros(16_000, np.float32))
    (project / "a.vtt").write_text("mine")
    with pytest.raises(error, match=message):
        dispatch(command.split())
    assert (project / "a.vtt").read_text() == "mine"
    assert not (project / "a.srt").exists()


def bare(text: str) -> str:
    return re.sub(r"\s", "", text.translate(files._MARKUP))
