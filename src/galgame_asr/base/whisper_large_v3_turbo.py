"""The architecture of openai/whisper-large-v3-turbo, and models of it with random weights.

For planning and rehearsals. Its dimensions are those of the published config.json: the encoder
of large-v3, and four of its 32 decoder layers. Together they have the published 809 M parameters.
"""

from pathlib import Path
from typing import Any

from galgame_asr.base import vocabulary
from galgame_asr.base.whisper_files import assemble, not_at_first, write, write_json

REPO = "openai/whisper-large-v3-turbo"
# Of its tokenizer: bytes and 50,000 merges.
NUM_MERGED = 50_256
# As in the published generation_config.json.
ALIGNMENT_HEADS = [(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)]

CONFIG: dict[str, Any] = {
    "architectures": ["WhisperForConditionalGeneration"],
    "model_type": "whisper",
    "vocab_size": 51_866,
    "num_mel_bins": 128,
    "d_model": 1280,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "decoder_layers": 4,
    "decoder_attention_heads": 20,
    "decoder_ffn_dim": 5120,
    "max_source_positions": 1500,
    "max_target_positions": 448,
    "bos_token_id": 50_257,
    "eos_token_id": 50_257,
    "pad_token_id": 50_257,
    "decoder_start_token_id": 50_258,
    "suppress_tokens": [],
}


def write_config(directory: Path, *, source: str = "huggingface") -> None:
    """Write config.json into a directory; the same on every hub."""
    write_json(directory / "config.json", CONFIG)


def build(directory: Path, *, source: str = "huggingface", seed: int) -> None:
    """Write a model directory of the published size with random weights in float32.

    Its tokenizer is of the published size, and made up.

    Args:
        directory: in transformers' layout; need not exist.
        source: the hub; the model is the same on each.
        seed: of the weights.
    """
    tokenizer = assemble(*vocabulary.spelled(NUM_MERGED))
    config = CONFIG | {"begin_suppress_tokens": not_at_first(tokenizer)}
    write(directory, config, tokenizer, ALIGNMENT_HEADS, seed=seed)
