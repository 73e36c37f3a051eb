"""Rows are transcribed alike by one process or by several, whatever their length."""

import dataclasses
import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from torch import nn

from galgame_asr.core.params import load
from galgame_asr.core.reader import ShardReader
from galgame_asr.corpora.synthetic import fetch as synthetic
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.decoding.segments import cut, load_detector
from galgame_asr.decoding.transcribe import Decoder, Row, Task, transcribe, transcribe_parts
from galgame_asr.families.common import compute
from galgame_asr.families.common.compute import Precision
from galgame_asr.families.common.params import ComputeParams
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.shards import tar
from tests import nanos
from tests.conftest import REPOSITORY
from tests.models import JAPANESE, WHISPER_JAPANESE, build, build_whisper, log_prob

PARAMS = REPOSITORY / "params.yaml"
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.fixture(scope="module")
def task(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Task:
    params = load(DecodeParams, "decode", file=PARAMS)
    return Task(
        family="fun_asr_nano",
        checkpoint=build(tmp_path_factory.mktemp("model") / "base"),
        raw=rows.attrs["root"],
        prompt=JAPANESE,
        params=dataclasses.replace(params, max_new_tokens=8),
        batch_frames=300,
        compute=load(ComputeParams, "compute", file=PARAMS),
    )


def in_processes(task: Task, count: int) -> Task:
    return dataclasses.replace(task, processes=count)


def test_processes_share_the_work_and_change_nothing(rows: pd.DataFrame, task: Task) -> None:
    """The same transcripts in the same order; an error of one is that of all."""
    alone = transcribe(rows, task)
    assert len({t.log_prob for t in alone}) == len(alone)
    together = transcribe(rows, in_processes(task, 2))
    assert [t.text for t in together] == [t.text for t in alone]
    assert [t.log_prob for t in together] == pytest.approx([t.log_prob for t in alone], abs=1e-3)
    bad = rows.copy()
    bad.loc[3, "offset"] = 0
    with pytest.raises(DataError, match=r"utterance u3: .*no audio"):
        transcribe(bad, in_processes(task, 2))


def test_labels_are_aligned_where_a_model_can(
    rows: pd.DataFrame, task: Task, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By the CTC branch, in one process or several; the texts stay. Without a branch all stays."""
    rows = rows.assign(text="あ")  # which has room in the shortest
    alone = transcribe(rows, task)
    caplog.set_level(logging.INFO, "galgame_asr")
    assert transcribe(rows, dataclasses.replace(task, align=True)) == alone
    assert "base has no CTC branch" in caplog.text
    branch = nanos.add_ctc(build(tmp_path / "branch"), layers=1)
    aligning = dataclasses.replace(task, checkpoint=branch, align=True)
    found = transcribe(rows, aligning)
    assert [dataclasses.replace(one, fit=None) for one in found] == alone
    fits = [one.fit for one in found if one.fit]
    assert len(fits) == len(rows)
    assert len({fit.log_prob for fit in fits}) == len(rows)
    for together, fit, duration_s in zip(
        transcribe(rows, in_processes(aligning, 2)), fits, rows["duration_s"], strict=True
    ):
        assert together.fit is not None
        assert together.fit.log_prob == pytest.approx(fit.log_prob, rel=1e-3)
        assert 0 <= fit.lead_s + fit.tail_s <= duration_s + 0.1


def test_parts_are_transcribed_by_one_model(
    rows: pd.DataFrame, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each as it would be alone, an empty one too; and the model is loaded once, or not at all."""
    parts = [rows[:4], rows[:0], rows[4:].reset_index(drop=True)]
    alone = [transcribe(part, task) for part in parts]
    loads: list[Task] = []
    original = Decoder.__init__

    def load(self: Decoder, given: Task, device: torch.device) -> None:
        loads.append(given)
        original(self, given, device)

    monkeypatch.setattr(Decoder, "__init__", load)
    assert list(transcribe_parts(parts, task)) == alone
    assert len(loads) == 1
    assert transcribe(rows[:0], task) == []
    assert len(loads) == 1


def test_an_unreadable_utterance_may_have_an_empty_text(rows: pd.DataFrame, task: Task) -> None:
    """Where the task says so; the others have theirs."""
    bad = rows.copy()
    bad.loc[3, "offset"] = 0
    found = transcribe(bad, dataclasses.replace(task, skip_unreadable=True))
    assert found[3] == Transcript("", 0, 0.0)
    kept = [index for index in range(len(rows)) if index != 3]
    assert [found[i].text for i in kept] == [transcribe(rows, task)[i].text for i in kept]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("family", ["fun_asr_nano", "whisper"])
def test_weights_that_are_cast_once_change_nothing(
    rows: pd.DataFrame,
    task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    precision: Precision,
) -> None:
    """Texts and log probabilities are those of autocast alone, bit for bit."""
    if family == "whisper":
        checkpoint = build_whisper(tmp_path / "base")
        task = dataclasses.replace(
            task, family=family, checkpoint=checkpoint, prompt=WHISPER_JAPANESE
        )
    task = dataclasses.replace(
        task, compute=dataclasses.replace(task.compute, precision=precision), batch_frames=30_000
    )
    decoder = Decoder(task, torch.device("cpu"))
    linear = [m for m in decoder.family.model.modules() if isinstance(m, nn.Linear)]
    assert linear
    assert {m.weight.dtype for m in linear} == {DTYPES[precision]}
    cast = transcribe(rows, task)
    monkeypatch.setattr(compute, "cast", lambda *_: None)
    assert transcribe(rows, task) == cast


def test_whisper_counts_whole_windows(
    rows: pd.DataFrame, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four utterances fit into 12,000 frames, however short; pieces into 30 s."""
    other = dataclasses.replace(
        task,
        family="whisper",
        checkpoint=build_whisper(tmp_path / "base"),
        prompt=WHISPER_JAPANESE,
        batch_frames=12_000,
    )
    sizes: list[int] = []
    original = Decoder.__call__

    def call(self: Decoder, batch: Sequence[Row]) -> list[Transcript]:
        sizes.append(len(batch))
        return original(self, batch)

    monkeypatch.setattr(Decoder, "__call__", call)
    assert len(transcribe(rows, other)) == 10
    assert sorted(sizes) == [2, 4, 4]
    limits = dataclasses.replace(task.params.long_audio, max_segment_s=40.0)
    params = dataclasses.replace(task.params, long_audio=limits)
    with pytest.raises(ConfigError, match=r"max_segment_s is 40; family whisper hears 30 s"):
        transcribe(rows, dataclasses.replace(other, params=params))


def test_speed_is_reported(
    rows: pd.DataFrame, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    """How many times as fast as speech; and no rows are no error."""
    with caplog.at_level(logging.INFO, logger="galgame_asr"):
        transcribe(rows, task)
    assert "8 s of audio, " in caplog.text
    assert "times as fast as speech" in caplog.text
    assert transcribe(rows[:0], task) == []


def test_long_audio_is_the_text_of_its_pieces(task: Task, tmp_path: Path) -> None:
    """What is longer than the limit goes through VAD; each piece as if it stood alone."""
    voice = synthetic.VOICES["reading"][0]
    texts = ["公園で帰ろうよ、先輩。", "えへへ、先輩が好き。", "もう、先輩。"]
    pause = np.zeros(24_000)
    parts = [part for text in texts for part in (synthetic.speak(text, voice), pause)]
    buffer = io.BytesIO()
    sf.write(buffer, np.concatenate(parts), 16_000, format="FLAC")
    tar.write(tmp_path / "long.tar", [("long.flac", buffer.getvalue())])
    (member,) = tar.members(tmp_path / "long.tar")
    row = {
        "id": "long", "corpus": "vn", "shard": "long.tar", "offset": member.offset,
        "size": member.size, "text": "", "duration_s": sum(map(len, parts)) / 16_000,
    }  # fmt: skip
    limits = dataclasses.replace(task.params.long_audio, max_segment_s=3.0)
    task = dataclasses.replace(
        task, raw=tmp_path, params=dataclasses.replace(task.params, long_audio=limits)
    )
    audio = ShardReader(tmp_path).read_row(pd.Series(row).to_dict())
    segments = cut(audio, load_detector("silero"), max_segment_s=3.0)
    assert len(segments) >= 3
    pieces = []
    for number, segment in enumerate(segments):
        buffer = io.BytesIO()
        samples = audio[segment.start : segment.end]
        sf.write(buffer, samples, 16_000, format="WAV", subtype="FLOAT")
        pieces.append((f"{number}.wav", buffer.getvalue()))
    tar.write(tmp_path / "pieces.tar", pieces)
    alone = pd.DataFrame(
        [
            row | {"shard": "pieces.tar", "offset": m.offset, "size": m.size, "duration_s": 2.0}
            for m in tar.members(tmp_path / "pieces.tar")
        ]
    )
    (whole,) = transcribe(pd.DataFrame([row]), task)
    parts_of_it = transcribe(alone, task)
    assert whole.text == "".join(part.text for part in parts_of_it)
    assert whole.num_tokens == sum(part.num_tokens for part in parts_of_it)
    assert whole.log_prob == pytest.approx(log_prob(parts_of_it), abs=1e-3)
