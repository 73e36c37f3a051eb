"""The architecture of openai/whisper-large-v3-turbo without its weights, for planning.

Its dimensions are those of the published config.json: the encoder of large-v3, and four of its
32 decoder layers. Together they have the published 809 M parameters.
"""

from pathlib import Path
from typing import Any

from galgame_asr.base.tiny_fun_asr_nano import write_json

CONFIG: dict[str, Any] = {
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
}


def write_config(directory: Path, *, source: str = "huggingface") -> None:
    """Write config.json into a directory; the same on every hub."""
    write_json(directory / "config.json", CONFIG)
