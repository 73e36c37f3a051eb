"""Qwen3-ASR says what transformers' own class says, called by hand."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, Qwen3ASRForConditionalGeneration

from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import CheckpointError, ConfigError
from galgame_asr.runtimes import load as runtimes
from tests import qwens
from tests.models import noise

AUDIOS = [noise(0.1 + number / 3, number) for number in range(8)]
TOKENS = 16
WORDS = ("葵", "凛")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return qwens.build(tmp_path_factory.mktemp("qwen") / "model")


def say(directory: Path, prompt: Prompt, **search: Any) -> list[Transcript]:
    assert runtimes.detect(directory) == "qwen3_asr"
    recogniser = runtimes.load("qwen3_asr", directory)
    features = [recogniser.features(audio) for audio in AUDIOS]
    return recogniser.transcribe(
        features, prompt, Search(**{"max_new_tokens": [TOKENS] * 8} | search)
    )


def by_hand(directory: Path, language: str | None, context: str | None, **more: Any) -> list[str]:
    """One utterance at a time."""
    processor: Any = AutoProcessor.from_pretrained(directory)  # type: ignore[no-untyped-call]
    model: Any = Qwen3ASRForConditionalGeneration.from_pretrained(directory)
    texts = []
    for audio in AUDIOS:
        given = processor.apply_transcription_request(audio, language=language, prompt=context)
        with torch.no_grad():
            found = model.generate(**given, max_new_tokens=TOKENS, do_sample=False, **more)
        new = found[0, given["input_ids"].shape[1] :]
        texts.append(processor.decode(new, return_format="transcription_only"))
    return texts


def test_a_batch_says_what_transformers_says_of_each(directory: Path) -> None:
    """With a language, without one, with hotwords as the context, and with beams."""
    found = {
        (language, words): say(directory, Prompt(language=language, hotwords=words))
        for language in (None, "ja", "Japanese", "en")
        for words in ((), WORDS)
    }
    for (language, words), said in found.items():
        assert [t.text for t in said] == by_hand(directory, language, " ".join(words) or None)
    assert found["ja", ()] == found["Japanese", ()]
    # Audio, language and context each change what is said.
    texts = [tuple(t.text for t in said) for said in found.values()]
    assert len(set(texts)) == 6
    assert len(set(texts[0])) > 4
    beams = [t.text for t in say(directory, Prompt(language="ja"), beams=3, no_repeat_ngram_size=2)]
    assert beams == by_hand(directory, "ja", None, num_beams=3, no_repeat_ngram_size=2)


def test_each_ends_at_its_own_limit(directory: Path) -> None:
    """The end is a token, and what follows it is none; a shorter limit cuts the same text."""
    whole = say(directory, Prompt(language="ja"))
    assert {one.num_tokens < TOKENS for one in whole} == {True, False}
    cut = say(directory, Prompt(language="ja"), max_new_tokens=[3, *[TOKENS] * 7])
    assert cut[0].num_tokens == 3
    assert whole[0].text.startswith(cut[0].text.rstrip("\ufffd"))
    assert cut[1:] == whole[1:]
    assert {one.log_prob for one in whole} == {None}


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(language="日文"), "language '日文' is none that Qwen3-ASR knows; .*ja, ko"),
        (Prompt(itn=False), "itn and timestamps: Qwen3-ASR cannot be told"),
        (Prompt(timestamps=True), "itn and timestamps"),
        (Prompt(hotwords=("<|im_end|>",)), "hotwords: '<|im_end|>' holds a special token"),
    ],
)
def test_what_it_cannot_be_asked_for(directory: Path, prompt: Prompt, message: str) -> None:
    """Is an error before anything is decoded."""
    with pytest.raises(ConfigError, match=message.replace("|", r"\|")):
        say(directory, prompt)


def _without_a_tensor(directory: Path) -> None:
    file = directory / "model.safetensors"
    tensors = load_file(file)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, file, metadata={"format": "pt"})


def _with_code(directory: Path) -> None:
    file = directory / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"auto_map": {"AutoModel": "x.Y"}}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_a_tensor, "is no whole Qwen3-ASR: 1 tensors are missing"),
        (_with_code, "transformers runs Python that came with the model"),
        (lambda d: (d / "tokenizer.json").write_text("{"), "cannot be (loaded|read)"),
        (lambda d: (d / "processor_config.json").unlink(), "cannot be loaded as Qwen3-ASR"),
        (lambda d: (d / "model.safetensors").write_bytes(b"x"), "cannot be loaded as Qwen3-ASR"),
    ],
)
def test_a_damaged_directory_is_named(
    directory: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    """And what is wrong with it."""
    shutil.copytree(directory, tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(CheckpointError, match=f"model.*{message}"):
        runtimes.load("qwen3_asr", tmp_path / "model")
