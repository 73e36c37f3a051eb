"""Models of published sizes with random weights, and their made-up vocabularies."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from funasr.models.sense_voice.whisper_lib.tokenizer import get_encoding
from tests.models import JAPANESE, WHISPER_JAPANESE, examples
from transformers import AutoTokenizer, WhisperTokenizer

from galgame_asr.base import fun_asr_nano_2512, vocabulary, whisper_large_v3_turbo
from galgame_asr.base.fun_asr_nano_files import save_tokenizer
from galgame_asr.families.common import family as families
from galgame_asr.families.fun_asr_nano import ctc_branch
from galgame_asr.formats.funasr import export as funasr
from galgame_asr.training.freezing import freeze

TEXTS = ["ねえ、葵ちゃん、帰ろうよ。", "Aあ亜ー…！", "é\u3000x 12"]


def test_merges_join_tokens_that_are_there() -> None:
    """As byte-level BPE learns them: each is of two earlier tokens, and no token comes twice."""
    tokens = {bytes([byte]) for byte in range(256)}
    for one, other in vocabulary.merges(151_387):
        assert one in tokens
        assert other in tokens
        assert one + other not in tokens
        tokens.add(one + other)


def test_qwens_is_as_large_with_its_special_tokens_at_their_places(tmp_path: Path) -> None:
    """Transformers loads it; texts come back, and a character is at most a token."""
    save_tokenizer(fun_asr_nano_2512.build_tokenizer(), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ends = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    assert ends == [151_643, 151_644, 151_645]
    assert len(tokenizer) <= fun_asr_nano_2512.LLM_CONFIG["vocab_size"]
    assert [tokenizer.decode(tokenizer.encode(text)) for text in TEXTS] == TEXTS
    assert len(tokenizer.encode(TEXTS[0])) <= len(TEXTS[0])


def test_whispers_is_as_large_with_its_special_tokens_at_their_places(tmp_path: Path) -> None:
    """51,866 tokens, the ids of large-v3."""
    config = copy.deepcopy(whisper_large_v3_turbo.CONFIG)
    whisper_large_v3_turbo.assemble(
        *vocabulary.spelled(whisper_large_v3_turbo.NUM_MERGED)
    ).save_pretrained(tmp_path)
    tokenizer = WhisperTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == config["vocab_size"]
    names = ["<|endoftext|>", "<|startoftranscript|>", "<|0.00|>", "<|30.00|>"]
    assert tokenizer.convert_tokens_to_ids(names) == [50_257, 50_258, 50_365, 51_865]
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


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
