"""The times of sentences, from a list of Whisper-Finetune to the labels that Whisper learns."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile as sf
import torch

from galgame_asr.core import tables, utterances
from galgame_asr.core.params import parse
from galgame_asr.core.reader import ShardReader
from galgame_asr.corpora.folder.params import Folder
from galgame_asr.families.common.family import Family, Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.fun_asr_nano import family as nano
from galgame_asr.families.whisper import family as whisper
from galgame_asr.families.whisper.family import Whisper
from galgame_asr.families.whisper.network import IGNORED
from galgame_asr.messages.errors import DataError
from galgame_asr.splitting.mix import select
from galgame_asr.training.batches import Pick
from galgame_asr.training.dataset import Utterances, refuse_long
from galgame_asr.training.params import TrainingParams
from tests.corpora import Row, manifest
from tests.models import JAPANESE as NANO_JAPANESE
from tests.models import WHISPER_JAPANESE as PLAIN
from tests.models import build, build_whisper, examples, noise

TIMED = Prompt(language="ja", timestamps=True)
TWO = [
    {"start": 0, "end": 0.493, "text": "葵、"},
    {"start": 0.6, "end": 1.24, "text": "おはよう。"},
]
PARAMS = TrainingParams(
    freeze={"encoder": False, "decoder": False}, lr=1e-3, epochs=1, mix={"c": 1.0}, prompts=(TIMED,)
)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Whisper:
    return whisper.load(build_whisper(tmp_path_factory.mktemp("model") / "base"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def rows(here: Path, **sentences: Any) -> dict[str, Row]:
    """The manifest of recordings of 1.25 s with these sentences, or with a text."""
    lines = []
    for number, (name, found) in enumerate(sentences.items()):
        sf.write(here / f"{name}.flac", noise(1.25, number), 16_000)
        key = "sentence" if isinstance(found, str) else "sentences"
        lines.append(json.dumps({"audio": {"path": f"{name}.flac"}, key: found}) + "\n")
    (here / "t.jsonl").write_text("".join(lines))
    return manifest(
        parse(Folder, {"kind": "folder", "path": "t.jsonl", "shard_size": 10}, "corpora.c")
    )


def learnt(family: Family, prompts: list[Prompt] | None = None) -> Utterances:
    found = utterances.read(Path("c.parquet"))
    return Utterances(
        found, family, ShardReader(Path("data/raw")), prompts=prompts or [TIMED], cache_bytes=0
    )


def labels(family: Whisper, batch: dict[str, Any]) -> list[list[int]]:
    return [row[row != IGNORED].tolist() for row in batch["labels"]]


def test_labels_of_an_utterance_with_two_sentences(here: Path, family: Whisper) -> None:
    """Token for token; the other sounds as long, and its text is one sentence of all of it."""
    rows(here, a=TWO, b="葵、おはよう。")
    read = learnt(family)
    first, second = read[Pick(0, 0, 1.0)], read[Pick(0, 1, 1.0)]
    batch = family.training_batch([first, second])
    names = ["startoftranscript", "ja", "transcribe"]
    prompt = [family.token(f"<|{name}|>") for name in names]
    assert batch["decoder_input_ids"][:, :3].tolist() == [prompt, prompt]
    zero, tokens = family.token("<|0.00|>"), family.text_tokens
    aoi, hello, end = tokens("葵、"), tokens("おはよう。"), family.end
    assert labels(family, batch) == [
        [zero, *aoi, zero + 25, zero + 30, *hello, zero + 62, end],
        [zero, *tokens("葵、おはよう。"), zero + 62, end],
    ]
    assert family.tokenizer.convert_ids_to_tokens([zero + 62]) == ["<|1.24|>"]
    assert torch.isfinite(family.model(**batch)["loss"])
    plain = learnt(family, [PLAIN])[Pick(0, 0, 1.0)]
    assert labels(family, family.training_batch([plain])) == [[*tokens("葵、おはよう。"), end]]


def test_times_change_with_the_speed(here: Path, family: Whisper) -> None:
    """At half the speed each begins and ends twice as late."""
    rows(here, a=TWO)
    example = learnt(family)[Pick(0, 0, 0.5)]
    assert example.sentences == [(0.0, 0.986, "葵、"), (1.2, 2.48, "おはよう。")]
    zero = family.token("<|0.00|>")
    (found,) = labels(family, family.training_batch([example]))
    assert [token - zero for token in found if token >= zero] == [0, 49, 60, 124]


def test_fun_asr_nano_learns_the_text_alone(here: Path, tmp_path: Path) -> None:
    """The same batch with times as without."""
    rows(here, a=TWO)
    family = nano.load(build(tmp_path / "base"))
    example = learnt(family, [NANO_JAPANESE])[Pick(0, 0, 1.0)]
    assert example.sentences
    timed, plain = (
        family.training_batch([one])
        for one in (example, dataclasses.replace(example, sentences=()))
    )
    for key, value in timed.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(value, plain[key], rtol=0, atol=0)


def test_tables_without_times_are_as_they_were(here: Path) -> None:
    """Byte for byte what their columns alone give, also of a corpus beside one with times."""
    rows(here, b="葵、おはよう。")
    plain = Path("c.parquet").read_bytes()
    without = utterances.read(Path("c.parquet"))
    tables.write(Path("same.parquet"), without, utterances.SCHEMA)
    assert Path("same.parquet").read_bytes() == plain
    Path("data/raw/c/c-000000.tar").unlink()
    rows(here, a=TWO)
    timed = utterances.read(Path("c.parquet")).assign(corpus="timed")
    both = pd.concat([without, timed], ignore_index=True)
    utterances.write(Path("mix.parquet"), select(both, {"c": 1.0}))
    assert Path("mix.parquet").read_bytes() == plain
    utterances.write(Path("mix.parquet"), select(both, {"c": 1.0, "timed": 2.0}))
    mixed = utterances.read(Path("mix.parquet"))["sentences"].tolist()
    assert mixed[0] is None
    assert [one["start_s"] for one in mixed[1]] == [one["start_s"] for one in mixed[2]] == [0, 0.6]


@pytest.mark.parametrize(
    ("start", "end"),
    [(1.3, 1.4), (0.6, 1.8), (1.25, 1.3)],
)
def test_a_sentence_behind_the_audio_is_named(here: Path, start: float, end: float) -> None:
    """It begins there, or ends more than half a second later."""
    message = (
        rf"utterance a of c: 'おはよう。' is from {start} to {end} s; allowed: from 0.493 s on, "
        "where the one before it ends, to the end of the audio at 1.25 s"
    )
    with pytest.raises(DataError, match=message):
        rows(here, a=[TWO[0], TWO[1] | {"start": start, "end": end}])


def test_an_end_that_was_rounded_is_that_of_the_audio(here: Path) -> None:
    """Up to half a second, as ends of segments are."""
    found = rows(here, a=[TWO[0], TWO[1] | {"end": 1.7}])["a"]["sentences"]
    assert [one["end_s"] for one in found] == [0.493, 1.25]


def test_timestamps_need_room_too(family: Whisper) -> None:
    """Two tokens for each sentence: the longest text that fits without does not with them."""
    room = family.max_text_tokens(TIMED)
    assert room == 443
    halves = ["a" * 221, "b" * 222]
    sentences: list[Any] = [
        {"start_s": float(at), "end_s": at + 1.0, "text": half} for at, half in enumerate(halves)
    ]
    found = pd.DataFrame({"id": ["a"], "duration_s": 2.0, "text": "".join(halves)})
    assert len(family.text_tokens("".join(halves))) == room
    refuse_long(family, PARAMS, found, found[:0])
    timed = found.assign(sentences=pd.Series([sentences]))
    refuse_long(family, dataclasses.replace(PARAMS, prompts=(PLAIN,)), timed, found[:0])
    with pytest.raises(DataError, match="utterance a: its text has 443 tokens; 441 fit; leave it"):
        refuse_long(family, PARAMS, timed, found[:0])
    (example,) = examples(family, [2.0], TIMED)
    fits = [(0.0, 1.0, "a" * 220), (1.0, 2.0, "b" * 221)]
    batch = family.training_batch([dataclasses.replace(example, sentences=fits)])
    assert batch["labels"].shape == (1, 448)


def test_a_tiny_whisper_learns_when_sentences_are_said(tmp_path: Path) -> None:
    """Two utterances by heart, with their timestamps; the encoder stays as it is."""
    family = whisper.load(build_whisper(tmp_path / "base"))
    said = [[(0.0, 0.3, "葵"), (0.44, 0.9, "、おはよう。")], [(0.1, 0.7, "はい。")]]
    learning = [
        dataclasses.replace(example, sentences=sentences)
        for example, sentences in zip(examples(family, [1.0, 1.5], TIMED), said, strict=True)
    ]
    batch = family.training_batch(learning)
    with torch.no_grad():
        encoded, _ = family.encode(batch)
    optimizer = torch.optim.Adam(family.model.model.decoder.parameters(), lr=5e-3)
    for _ in range(100):
        optimizer.zero_grad()
        family.model(**batch, encoded=encoded)["loss"].backward()
        optimizer.step()
    family.model.train(False)
    with torch.no_grad():
        given = torch.tensor([family.prompt_tokens(TIMED)] * 2)
        found = family._generate(encoded, given, TIMED, Search([20, 20]), 20).tolist()
    for tokens, expected in zip(found, labels(family, batch), strict=True):
        assert tokens[: len(expected)] == expected
