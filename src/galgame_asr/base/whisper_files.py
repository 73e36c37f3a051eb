"""A Whisper that is made here: its files, with random weights.

In transformers' layout, with what CTranslate2's converter and faster-whisper need: windows
of 30 s, all special tokens in Whisper's order, and the empty token by which the runtime tells
that a model is multilingual.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from galgame_asr.core.files import write_text
from galgame_asr.families.whisper.family import Whisper
from galgame_asr.families.whisper.network import CONFIG, GENERATION, Model

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
    write_json(directory / CONFIG, config)
    write_json(directory / GENERATION, generation_config(tokenizer, alignment_heads))
    torch.manual_seed(seed)
    model = Model(WhisperConfig.from_pretrained(directory))
    model.generation_config = GenerationConfig.from_pretrained(directory)
    Whisper(directory, model, tokenizer, extractor).save(directory)


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


def write_json(file: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file, indented."""
    write_text(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
