"""Rehearsals: what they print, and the random models of published sizes that they begin with."""

import contextlib
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from funasr.models.sense_voice.whisper_lib.tokenizer import get_encoding

from galgame_asr.base import fun_asr_nano_2512, whisper_large_v3_turbo
from galgame_asr.core.params import parse, read_params
from galgame_asr.experiment.params import Params
from galgame_asr.families.common import family as families
from galgame_asr.families.fun_asr_nano import ctc_branch
from galgame_asr.formats.funasr import export as funasr
from galgame_asr.planning.plan import Data, Planner, Speech
from galgame_asr.planning.published import GB
from galgame_asr.training.freezing import freeze
from tests.models import JAPANESE, TEXTS, WHISPER_JAPANESE, build, examples
from tests.pipeline.conftest import Workspace, executed
from tests.pipeline.test_interruption import kill_in_mid_phase

PROFILE = """
corpora:
  own: {{kind: folder, path: /nowhere, shard_size: 100}}
base:
  existing: {{directory: {{path: {model}}}}}
  built: {{}}
train:
  common: {{batch_frames: 300}}
  phases:
    mine:
      init: base
      freeze: {{encoder: true, adaptor: false, llm: true}}
      lr: 1.0e-3
      epochs: 40
      mix: {{own: 1.0}}
      prompts: [{{language: 日文}}]
      checkpoints: [50, 100]
average: {{}}
decode:
  checkpoints: [base, mine/p100]
split: {{out_of_domain: []}}
export:
  gguf:
    format: gguf
    checkpoint: mine/p100
    precision: q8_0
    verify: {{utterances: 50, prompt: japanese, min_equal: 1, max_cer_rise: 0, max_difference: 0}}
prompts:
  japanese: {{language: 日文}}
"""


ROW = r"^{} +(\d+:\d\d) +(\d+\.\d\d) +(\d+\.\d\d)$"
COMMAND = [sys.executable, "-m", "galgame_asr.planning.rehearsal", "mine"]
PLACE = ".scratch/rehearsal/mine"
PATIENCE_S = 600  # until the phase has begun, after the stages before it


def test_a_rehearsal_ends_with_what_it_took(workspace: Workspace, tmp_path: Path) -> None:
    """All stages run in a copy, a gate that refuses stops nothing, and the whole run is planned.

    One that was stopped goes on, and has all stages in its table; said again, nothing runs anew.
    Nothing of it is seen in the repository.
    """
    profile = workspace.root / "profiles/mine.yaml"  # not committed yet
    profile.write_text(PROFILE.format(model=build(tmp_path / "model")))
    before = workspace.run("git", "status", "--porcelain").stdout
    stage = f"{PLACE.removeprefix('.scratch/')}/.scratch/train@mine"
    status = kill_in_mid_phase(
        workspace, stage, COMMAND, signal.SIGTERM, os.kill, patience_s=PATIENCE_S
    )
    log = workspace.root / ".scratch.log"
    stopped = log.read_text()
    log.unlink()
    assert status == 1
    assert "RehearsalError: train@mine was stopped" in stopped
    said = workspace.run(*COMMAND).stdout
    assert "resuming at" in said
    ran = executed(said)
    assert ran[0] == "train@mine"
    assert ran[-1] == "report"
    assert "does not say what" in said  # the gate: random weights differ at eight bits
    table = said.partition("What the rehearsal took\n")[2]
    stages = set(executed(stopped) + ran)
    assert {"fetch@own", "base@directory", "train@mine", "export@gguf", "verify@gguf"} < stages
    for stage in (*stages, "all"):
        assert len(re.findall(ROW.format(stage), table, re.MULTILINE)) == 1, stage
    assert "How long, at the speed of 1 x" in table
    assert "(as rehearsed)?" in table
    assert "unknown: it is not here yet" in table  # the profile's own corpus, not the rendered one
    assert_compared(table, workspace.root / PLACE)
    assert workspace.run("git", "status", "--porcelain").stdout == before
    again = workspace.run(*COMMAND).stdout
    assert executed(again) == []
    end = "\n\n"  # of the table
    assert (
        again.partition("What the rehearsal took\n")[2].partition(end)[0]
        == (table.partition(end)[0])
    )


def assert_compared(table: str, place: Path) -> None:
    """Beside each other are what `plan` predicts and what the phase's row and the disk have."""
    with contextlib.chdir(place):
        params = parse(Params, read_params(), "")
        rows = pd.read_parquet("data/split/train.parquet")
        speech = Speech(rows["duration_s"].mean(), round(rows["text"].str.len().mean()))
        planner = Planner("fun_asr_nano", Path("models/base"), speech, "float32")
        phase, common = params.train.phases["mine"], params.train.common
        planned = planner.plan("mine", phase, common, 300, Data(params.corpora, Path("nowhere")))
        files = [f for f in Path("models").rglob("*") if f.is_file() and f.suffix != ".dvc"]
        disk = sum(file.stat().st_size for file in files)
    train = re.search(ROW.format("train@mine"), table, re.MULTILINE)
    assert train
    assert 0.1 < float(train[2]) < 10
    row = rf"^mine +{planned.memory.peak / GB:.3f} +{re.escape(train[2])}$"
    assert planned.memory.peak / GB > 0.001
    assert re.search(row, table, re.MULTILINE)
    on_disk = re.search(r"Disk of models: (\S+) GB predicted, (\S+) measured", table)
    assert on_disk
    assert float(on_disk[2]) == pytest.approx(disk / GB, rel=0.01)
    assert float(on_disk[1]) == pytest.approx(float(on_disk[2]), rel=0.5)


def test_a_stage_that_fails_is_named(workspace: Workspace, tmp_path: Path) -> None:
    """With what the others took, and exit status 1."""
    profile = workspace.root / "profiles/mine.yaml"
    profile.write_text(PROFILE.format(model=tmp_path / "nothing"))
    done = workspace.run(*COMMAND, check=False)
    assert done.returncode == 1
    assert "RehearsalError: base@directory failed" in done.stdout.splitlines()[-1]
    assert re.search(r"^fetch@own +\d+:\d\d", done.stdout, re.MULTILINE)


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published widths and vocabularies, in one or two layers of each part."""
    encoder: dict[str, Any] = fun_asr_nano_2512.CONFIG["audio_encoder_conf"]
    monkeypatch.setitem(encoder, "num_blocks", 2)
    monkeypatch.setitem(encoder, "tp_blocks", 1)
    monkeypatch.setitem(fun_asr_nano_2512.LLM_CONFIG, "num_hidden_layers", 1)
    for key in ("encoder_layers", "decoder_layers"):
        monkeypatch.setitem(whisper_large_v3_turbo.CONFIG, key, 1)
    monkeypatch.setattr(whisper_large_v3_turbo, "ALIGNMENT_HEADS", [(0, 0)])


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("source", ["huggingface", "modelscope"])
def test_a_random_fun_asr_nano_is_as_each_hub_has_it(tmp_path: Path, source: str) -> None:
    """It loads, learns and exports for funasr; the CTC branch is there on ModelScope alone."""
    model = tmp_path / "model"
    fun_asr_nano_2512.build(model, source=source, seed=0)
    family: Any = families.load("fun_asr_nano", model)
    assert (ctc_branch.OUTPUT in family.saved) == (source == "modelscope")
    assert family.saved["llm.model.norm.weight"].dtype == torch.bfloat16
    assert family.saved["audio_encoder.after_norm.weight"].dtype == torch.float32
    _learn(family, JAPANESE)
    (out := tmp_path / "export").mkdir()
    funasr.export(model, out, "bfloat16")
    encoding = get_encoding(
        "x", num_languages=8749, vocab_path=str(out / fun_asr_nano_2512.CTC_TOKENIZER)
    )
    assert encoding.n_vocab == 60_515
    assert encoding.decode(encoding.encode(TEXTS[0])) == TEXTS[0]


@pytest.mark.usefixtures("shallow")
def test_a_random_whisper_learns(tmp_path: Path) -> None:
    """It loads as large-v3-turbo does: 128 mels."""
    whisper_large_v3_turbo.build(tmp_path, seed=0)
    family = families.load("whisper", tmp_path)
    assert family.num_mels == 128
    _learn(family, WHISPER_JAPANESE)


def _learn(family: Any, prompt: Any) -> None:
    freeze(family.model, family.parts, dict.fromkeys(family.parts, False), fixed=family.fixed)
    batch = family.training_batch(examples(family, [0.8], prompt))
    loss = family.model(**batch)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in family.model.parameters() if p.requires_grad)
