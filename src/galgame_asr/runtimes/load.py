"""Which runtime decodes a model directory, and how it is loaded."""

import importlib
import json
from pathlib import Path

from galgame_asr.core.errors import CheckpointError


def window_s(family: str) -> float | None:
    """`Family.window_s`, without a model."""
    window: float | None = importlib.import_module(f"galgame_asr.families.{family}").WINDOW_S
    return window


def detect(directory: Path) -> str:
    """Name the family of a model directory, by its files.

    Raises:
        CheckpointError: it is of none.
    """
    if (directory / "config.yaml").is_file():
        return "fun_asr_nano"
    if any(directory.glob("encoder_adaptor*.onnx")):
        return "fun_asr_nano_sherpa"
    if (directory / "llm.gguf").is_file():
        return "fun_asr_nano_gguf"
    if any(directory.glob("Fun-ASR-Nano-Decoder.*.gguf")):
        return "fun_asr_nano_capswriter"
    try:
        kind = json.loads((directory / "config.json").read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError):
        kind = "no config.json"
    if kind == "whisper":
        return "whisper"
    if kind is None and (directory / "model.bin").is_file():
        return "whisper_ct2"
    found = ", ".join(sorted(p.name for p in directory.glob("*"))[:8]) or "nothing"
    raise CheckpointError(
        f"{directory} is no model directory of a known family: found {found}; allowed: "
        "config.yaml (Fun-ASR-Nano), encoder_adaptor.onnx (sherpa-onnx), llm.gguf (FunASR's "
        "llama.cpp runtime), Fun-ASR-Nano-Decoder.*.gguf (CapsWriter), config.json with model_type "
        "whisper (transformers), or config.json with model.bin (CTranslate2). Give the directory "
        "that holds one of them"
    )
