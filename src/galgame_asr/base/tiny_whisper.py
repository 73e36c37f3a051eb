"""A tiny Whisper with random weights, for runs that show that everything works."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import WhisperTokenizer

from galgame_asr.base.built import TinyWhisperBase
from galgame_asr.base.whisper_files import START, assemble, not_at_first, write

HEADS = 4  # of attention


def build(directory: Path, params: TinyWhisperBase, *, texts: Iterable[str], seed: int) -> None:
    """Write a model directory, its tokenizer trained on `texts`."""
    tokenizer = build_tokenizer(texts, params.vocabulary)
    config = model_config(params, tokenizer)
    last = params.decoder_layers - 1
    write(directory, config, tokenizer, [(last, head) for head in range(HEADS)], seed=seed)


def build_tokenizer(texts: Iterable[str], vocabulary: int) -> WhisperTokenizer:
    """Train a byte-level BPE whose tokens are bytes and whole characters."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Character by character, so that none are merged with each other.
    trained.train_from_iterator((character for text in texts for character in text), trainer)
    learned = json.loads(trained.to_str())["model"]
    return assemble(learned["vocab"], [tuple(pair) for pair in learned["merges"]])


def model_config(params: TinyWhisperBase, tokenizer: WhisperTokenizer) -> dict[str, Any]:
    """A Whisper configuration, without dropout: there is no time to overfit."""
    end = tokenizer.eos_token_id
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "vocab_size": len(tokenizer),
        "num_mel_bins": 80,
        "d_model": params.dim,
        "encoder_layers": params.encoder_layers,
        "decoder_layers": params.decoder_layers,
        "encoder_attention_heads": HEADS,
        "decoder_attention_heads": HEADS,
        "encoder_ffn_dim": 4 * params.dim,
        "decoder_ffn_dim": 4 * params.dim,
        "max_source_positions": 1500,
        "max_target_positions": 448,
        # transformers' own defaults are those of English-only models.
        "decoder_start_token_id": tokenizer.convert_tokens_to_ids(START),
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "begin_suppress_tokens": not_at_first(tokenizer),
        "suppress_tokens": [],
        "init_std": params.dim**-0.5,
    }
