"""A very small Whisper with random weights, as a plain transformers directory."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from tests.models import TEXTS

LANGUAGES = ("en", "zh", "ja")
SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{language}|>" for language in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
# A token that the model of seed 0 says in the middle of most texts.
COMMON = 11
TIMESTAMPS = tuple(f"<|{number * 0.02:.2f}|>" for number in range(1501))


def build(directory: Path, *, seed: int = 0, multilingual: bool = True) -> Path:
    """Write a Whisper of about 200,000 parameters that says something else about other audio."""
    tokenizer = make_tokenizer(multilingual=multilingual)
    ids = tokenizer.get_vocab()
    end = ids["<|endoftext|>"]
    torch.manual_seed(seed)
    config = WhisperConfig(
        vocab_size=len(ids), num_mel_bins=80, d_model=32,
        encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=64,
        decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=64,
        max_source_positions=1500, max_target_positions=448, init_std=0.3,
        pad_token_id=end, bos_token_id=end, eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        suppress_tokens=None, begin_suppress_tokens=[ids["Ġ"], end],
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        embeddings = model.model.decoder.embed_tokens.weight
        # Nothing is heard but whole letters, and the end, which takes the place of a common one.
        for token in range(len(ids)):
            text = tokenizer.decode([token])
            if token >= end or not text.strip() or "\ufffd" in text:
                embeddings[token] *= 0.05
        embeddings[end] = 1.1 * embeddings[COMMON]
        for layer in model.model.decoder.layers:  # what is heard counts
            layer.encoder_attn.q_proj.weight *= 5
            layer.encoder_attn.out_proj.weight *= 5
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        pad_token_id=end, bos_token_id=end, eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        begin_suppress_tokens=[ids["Ġ"], end], suppress_tokens=[ids["!"]],
        lang_to_id={f"<|{name}|>": ids[f"<|{name}|>"] for name in LANGUAGES},
        task_to_id={name: ids[f"<|{name}|>"] for name in ("transcribe", "translate")},
        is_multilingual=True, no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        alignment_heads=[[1, 0], [1, 1]], max_length=448, return_timestamps=False,
    )  # fmt: skip
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    extractor: Any = WhisperFeatureExtractor()  # type: ignore[no-untyped-call]
    extractor.save_pretrained(directory)
    return directory


def make_tokenizer(*, multilingual: bool = True) -> WhisperTokenizer:
    """Byte-level BPE of a few texts, then Whisper's own tokens, in Whisper's order."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(TEXTS, trainer)
    bpe = json.loads(trained.to_str())["model"]
    # The empty token, by which CTranslate2 knows a multilingual model, comes last of the texts'.
    tokens = [*sorted(bpe["vocab"], key=bpe["vocab"].get), *([""] if multilingual else [])]
    vocabulary = {token: id_ for id_, token in enumerate([*tokens, *SPECIAL, *TIMESTAMPS])}
    return WhisperTokenizer(
        vocab=vocabulary,
        merges=[tuple(pair) for pair in bpe["merges"]],
        unk_token="<|endoftext|>",
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=list(SPECIAL[1:]),
    )


def load(directory: Path) -> tuple[Any, Any, Any]:
    """Model, tokenizer and feature extractor of a directory, by transformers alone."""
    model: Any = WhisperForConditionalGeneration.from_pretrained(directory)
    return (
        model.eval(),
        WhisperTokenizer.from_pretrained(directory),
        WhisperFeatureExtractor.from_pretrained(directory),
    )
