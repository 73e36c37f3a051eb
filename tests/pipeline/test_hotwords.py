"""Utterances are decoded and learnt with names of their own, whatever the batch."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from galgame_asr.core.params import load, parse
from galgame_asr.core.reader import ShardReader
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.decoding.transcribe import Task, transcribe
from galgame_asr.families.common import family as families
from galgame_asr.families.common.hotwords import told
from galgame_asr.families.common.params import ComputeParams, Prompt
from galgame_asr.messages.errors import DataError
from galgame_asr.training.batches import Pick
from galgame_asr.training.dataset import Utterances, refuse_long
from galgame_asr.training.params import TrainingParams
from tests.conftest import REPOSITORY
from tests.models import build, build_whisper
from tests.phases import values

PARAMS = REPOSITORY / "params.yaml"
FAMILIES = {"fun_asr_nano": (build, "日文"), "whisper": (build_whisper, "ja")}


def named(family: str) -> Prompt:
    """Names of the rows' texts and others."""
    glossary = {"names": ["葵", "凛", "詩織", "先輩"], "distractors": 1}
    return parse(Prompt, {"language": FAMILIES[family][1], "glossary": glossary}, "prompts.names")


@pytest.mark.parametrize("family", FAMILIES)
def test_each_is_decoded_with_its_own_names(
    rows: pd.DataFrame, tmp_path: Path, family: str
) -> None:
    """As if the prompt named them, one utterance at a time; by several processes too.

    Also where all are cut into pieces.
    """
    prompt = named(family)
    params = dataclasses.replace(load(DecodeParams, "decode", file=PARAMS), max_new_tokens=8)
    task = Task(
        family=family,
        checkpoint=FAMILIES[family][0](tmp_path / "model"),
        raw=rows.attrs["root"],
        prompt=prompt,
        params=params,
        batch_frames=30_000,
        compute=load(ComputeParams, "compute", file=PARAMS),
    )
    alone = []
    for number, row in enumerate(rows.to_dict("records")):
        own = told(prompt, f"{row['corpus']}/{row['id']}", row["text"])
        assert own.hotwords
        one = rows[number : number + 1].reset_index(drop=True)
        alone += transcribe(one, dataclasses.replace(task, prompt=own))
    limit = dataclasses.replace(params.long_audio, max_segment_s=1.2)
    cut = dataclasses.replace(task, params=dataclasses.replace(params, long_audio=limit))
    for several in (task, dataclasses.replace(task, processes=2)):
        found = transcribe(rows, several)
        assert [t.text for t in found] == [t.text for t in alone]
        assert [t.log_prob for t in found] == pytest.approx([t.log_prob for t in alone], abs=1e-3)
    # What is no longer than a piece is whole; its batch goes another way.
    found = transcribe(rows, cut)
    assert [t.text for t in found[:8]] == [t.text for t in alone[:8]]


def test_training_draws_anew_in_every_epoch(rows: pd.DataFrame, tmp_path: Path) -> None:
    """What is drawn is what decoding would draw in the first; each prompt has its turn."""
    family = families.load("fun_asr_nano", build(tmp_path / "model"))
    prompts = [Prompt(language="日文"), named("fun_asr_nano")]
    reader = ShardReader(rows.attrs["root"])
    examples = Utterances(rows, family, reader, prompts=prompts, cache_bytes=0)
    drawn = [[examples[Pick(epoch, row, 1.0)].prompt for row in range(10)] for epoch in range(6)]
    assert [examples[Pick(3, row, 1.0)].prompt for row in range(10)] == drawn[3]
    plain = [prompt == prompts[0] for epoch in drawn for prompt in epoch]
    assert 10 < sum(plain) < 50
    for row in range(10):
        key, text = f"vn/{rows['id'][row]}", rows["text"][row]
        for epoch, found in enumerate(drawn):
            assert found[row] in (prompts[0], told(prompts[1], key, text, epoch))
    assert any(len({epoch[row].hotwords for epoch in drawn}) > 2 for row in range(10))


def test_names_count_in_what_a_text_may_have(rows: pd.DataFrame, tmp_path: Path) -> None:
    """Whisper has 448 positions for prompt and text."""
    family = families.load("whisper", build_whisper(tmp_path / "model"))
    long = rows.assign(text="葵、おはよう。" * 40)
    plain = parse(TrainingParams, values_of([{"language": "ja"}]), "phase")
    refuse_long(family, plain, long, rows[:0])
    names = [f"先輩{number:03}" for number in range(30)]
    glossary = {"names": names, "right": False, "distractors": 30}
    told: dict[str, object] = {"language": "ja", "glossary": glossary}
    with pytest.raises(DataError, match=r"its text has \d+ tokens; \d+ fit"):
        refuse_long(family, parse(TrainingParams, values_of([told]), "phase"), long, rows[:0])


def values_of(prompts: list[dict[str, object]]) -> dict[str, object]:
    """A phase of Whisper with these prompts, without what is a phase's alone."""
    whole = values("whisper", prompts=prompts)
    return {key: value for key, value in whole.items() if key not in ("init", "checkpoints")}
