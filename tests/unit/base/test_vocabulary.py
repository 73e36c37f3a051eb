"""Models of published sizes with random weights, and their made-up vocabularies."""

import copy
from pathlib import Path

from transformers import AutoTokenizer, WhisperTokenizer

from galgame_asr.base import fun_asr_nano_2512, vocabulary, whisper_large_v3_turbo
from galgame_asr.base.fun_asr_nano_files import save_tokenizer
from galgame_asr.base.whisper_files import assemble

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
    assemble(*vocabulary.spelled(whisper_large_v3_turbo.NUM_MERGED)).save_pretrained(tmp_path)
    tokenizer = WhisperTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == config["vocab_size"]
    names = ["<|endoftext|>", "<|startoftranscript|>", "<|0.00|>", "<|30.00|>"]
    assert tokenizer.convert_tokens_to_ids(names) == [50_257, 50_258, 50_365, 51_865]
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
