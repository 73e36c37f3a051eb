"""Fun-ASR-Nano exported for FunASR's llama.cpp runtime, read back and decoded in PyTorch.

A directory holds encoder.gguf and llm.gguf. Nothing else is read: dimensions, tokenizer and
front end come from their keys, so that what is decoded is what another runtime finds in them.
It cannot be trained.
"""

from pathlib import Path

from galgame_asr.families.fun_asr_nano import texts
from galgame_asr.families.fun_asr_nano.family import FunAsrNano
from galgame_asr.runtimes.gguf_files import Reader, load_model, read_frontend, read_tokenizer

WINDOW_S, DEFAULTS = None, texts.DEFAULTS
ENCODER, LLM = "encoder.gguf", "llm.gguf"


def load(directory: Path) -> FunAsrNano:
    """Load an export, with dequantised tensors; see `runtimes.load`.

    Raises:
        CheckpointError: a file is missing or damaged.
        ConfigError: the package gguf is not installed.
    """
    encoder, llm = Reader(directory / ENCODER), Reader(directory / LLM)
    model, tokenizer = load_model(encoder, llm), read_tokenizer(llm)
    return FunAsrNano(directory, model, tokenizer, read_frontend(encoder), saved={})
