"""A tiny Whisper with random weights, for runs that show that everything works.

In transformers' layout, with what CTranslate2's converter and faster-whisper need: windows
of 30 s, 80 mels, all special tokens in Whisper's order, and the empty token by which the
runtime tells that a model is multilingual.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from galgame_asr.base.built import TinyWhisperBase
from galgame_asr.core.files import write_text
from galgame_asr.families.whisper.family import Whisper
from galgame_asr.families.whisper.network import CONFIG, GENERATION, Model

HEADS = 4  # of attention
END, START = "<|endoftext|>", "<|startoftranscript|>"
# As in large-v3.
SPECIAL_TOKENS = [
    END,
    START,
    *(f"<|{code}|>" for code in LANGUAGES),
    *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"),
    *("<|nospeech|>", "<|notimestamps|>"),
]
TIMESTAMPS = [f"<|{number / 50:.2f}|>" for number in range(1501)]


def build(directory: Path, params: TinyWhisperBase, *, texts: Iterable[str], seed: int) -> None:
    """Write a model directory, its tokenizer trained on `texts`."""
    tokenizer = build_tokenizer(texts, params.vocabulary)
    config = model_config(params, tokenizer)
    last = params.decoder_layers - 1
    write(directory, config, tokenizer, [(last, head) for head in range(HEADS)], seed=seed)


def write(
    directory: Path,
    config: Mapping[str, Any],
    tokenizer: WhisperTokenizer,
    alignment_heads: Sequence[tuple[int, int]],
    *,
    seed: int,
) -> None:
    """Write a model directory with random weights.

    Args:
        directory: need not exist.
        config: of transformers' class.
        tokenizer: with Whisper's special tokens.
        alignment_heads: (layer, head) of the decoder's that tell where a word is.
        seed: of the weights.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(directory)
    extractor = WhisperFeatureExtractor(feature_size=config["num_mel_bins"])  # type: ignore[no-untyped-call]
    extractor.save_pretrained(directory)
    _write_json(directory / CONFIG, config)
    _write_json(directory / GENERATION, generation_config(tokenizer, alignment_heads))
    torch.manual_seed(seed)
    model = Model(WhisperConfig.from_pretrained(directory))
    model.generation_config = GenerationConfig.from_pretrained(directory)
    Whisper(directory, model, tokenizer, extractor).save(directory)


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


def assemble(tokens: Mapping[str, int], merges: list[tuple[str, str]]) -> WhisperTokenizer:
    """A tokenizer of these tokens and merges, with Whisper's special tokens after them."""
    vocab = dict(tokens)
    for token in ["", *SPECIAL_TOKENS, *TIMESTAMPS]:
        vocab[token] = len(vocab)
    return WhisperTokenizer(
        vocab=vocab,
        merges=merges,
        pad_token=END,
        # Not as further tokens: transformers takes what follows the last of these for
        # timestamps.
        extra_special_tokens=[
            AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS[1:]
        ],
    )


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


def generation_config(
    tokenizer: WhisperTokenizer, alignment_heads: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """What decoders read: the tokens of languages and tasks, and alignment heads."""
    end = tokenizer.eos_token_id
    token = tokenizer.convert_tokens_to_ids
    return {
        "alignment_heads": [list(head) for head in alignment_heads],
        "begin_suppress_tokens": not_at_first(tokenizer),
        "bos_token_id": end,
        "decoder_start_token_id": token(START),
        "eos_token_id": end,
        "is_multilingual": True,
        "lang_to_id": {f"<|{code}|>": token(f"<|{code}|>") for code in LANGUAGES},
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "no_timestamps_token_id": token("<|notimestamps|>"),
        "pad_token_id": end,
        "prev_sot_token_id": token("<|startofprev|>"),
        "return_timestamps": False,
        "suppress_tokens": [],
        "task_to_id": {task: token(f"<|{task}|>") for task in ("transcribe", "translate")},
    }


def not_at_first(tokenizer: WhisperTokenizer) -> list[int]:
    """No text begins with a space or with its end, as in the published models."""
    return [*tokenizer.encode(" ", add_special_tokens=False), tokenizer.eos_token_id]


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    write_text(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
