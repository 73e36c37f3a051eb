"""Whatever decodes, loaded: checkpoints of a family that trains, and exports by their runtimes."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from galgame_asr.families.common import defaults
from galgame_asr.families.common import family as families
from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.family import Recogniser
from galgame_asr.families.common.params import FAMILIES
from galgame_asr.messages.errors import CheckpointError, ConfigError


def load(
    name: str,
    directory: Path,
    weights: Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Recogniser:
    """Load a model directory of a family or runtime, as `detect` names it.

    Args:
        name: of the family or runtime.
        directory: of the model.
        weights: of a family, a file whose tensors are taken instead.
        options: of a runtime whose files do not say all that it must know.

    Raises:
        CheckpointError: as for `families.load`.
        ConfigError: `weights` are given for an export.
    """
    if name in FAMILIES:
        return families.load(name, directory, weights)
    if weights is not None:
        raise ConfigError(f"{directory} is an export, whose weights {weights} cannot replace")
    loaded: Recogniser = _module(name).load(directory, **(options or {}))
    return loaded


def window_s(name: str) -> float | None:
    """`Family.window_s`, without a model."""
    window: float | None = _module(name).WINDOW_S
    return window


def read_defaults(name: str, directory: Path) -> Defaults:
    """How a model directory is used where nobody says otherwise: by its file, or its family.

    Raises:
        CheckpointError: as for `defaults.read`; or a piece would be longer than the model hears.
    """
    found = defaults.read(directory, _module(name).DEFAULTS)
    window = window_s(name)
    if window and found.max_segment_s > window:
        raise CheckpointError(
            f"{directory / defaults.FILE}: max_segment_s is {found.max_segment_s:g}; the model "
            f"hears {window:g} s at once: set it to at most {window:g}"
        )
    return found


def _module(name: str) -> ModuleType:
    inside = f"families.{name}.family" if name in FAMILIES else f"runtimes.{name}"
    return importlib.import_module(f"galgame_asr.{inside}")


def detect(directory: Path) -> str:
    """Name the family or runtime of a model directory, by its files.

    Raises:
        CheckpointError: it is of none.
    """
    if (directory / "config.yaml").is_file():
        return "fun_asr_nano"
    if any(directory.glob("encoder_adaptor*.onnx")):
        return "sherpa"
    if (directory / "llm.gguf").is_file():
        return "gguf"
    if any(directory.glob("Fun-ASR-Nano-Decoder.*.gguf")):
        return "capswriter"
    try:
        kind = json.loads((directory / "config.json").read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError):
        kind = "no config.json"
    if kind in ("whisper", "qwen3_asr"):
        return str(kind)
    if kind is None and (directory / "model.bin").is_file():
        return "ctranslate2"
    found = ", ".join(sorted(p.name for p in directory.glob("*"))[:8]) or "nothing"
    raise CheckpointError(
        f"{directory} is no model directory of a known family: found {found}; allowed: "
        "config.yaml (Fun-ASR-Nano), encoder_adaptor.onnx (sherpa-onnx), llm.gguf (FunASR's "
        "llama.cpp runtime), Fun-ASR-Nano-Decoder.*.gguf (CapsWriter), config.json with model_type "
        "whisper or qwen3_asr (transformers), or config.json with model.bin (CTranslate2). Give "
        "the directory that holds one of them"
    )
