"""Whisper for CTranslate2: a directory that faster-whisper and its users load as it is."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from galgame_asr.families.common.family import FrontEnd
from galgame_asr.messages.errors import ExportError
from galgame_asr.runtimes import load as runtimes
from galgame_asr.runtimes.extras import require

RUNTIME = "ctranslate2"
PACKAGE = "ctranslate2"
# faster-whisper reads the first two; without the second it takes 80 mel bands for granted.
# The third gives our own decoder the checkpoint's tokenizer.
COPIED = ("tokenizer.json", "preprocessor_config.json", "tokenizer_config.json")
# faster-whisper always gives 30 s, two frames for each position, and expects so many tokens.
POSITIONS = {"max_source_positions": 1500, "max_target_positions": 448}


def export(checkpoint: Path, output: Path, precision: str) -> None:
    """Convert a Whisper.

    Args:
        checkpoint: a directory as transformers saves it.
        output: an empty directory; the same checkpoint gives the same bytes.
        precision: of the weights, float32, float16 or int8.

    Raises:
        ConfigError: CTranslate2 is not installed.
        ExportError: the checkpoint is of another family or lacks what the runtime needs.
    """
    family = runtimes.detect(checkpoint)
    if family != "whisper":
        raise ExportError(
            f"{checkpoint} is of family {family}; the format ctranslate2 takes whisper alone"
        )
    _check(checkpoint)
    converters = require("ctranslate2.converters", extra="whisper")
    disable_progress_bar()  # type: ignore[no-untyped-call]  # of loading, soon over
    converter = converters.TransformersConverter(str(checkpoint), copy_files=[])
    # The converter refuses a directory that is there, or removes it.
    converter.convert(str(output / "converted"), quantization=precision)
    for file in sorted((output / "converted").iterdir()):
        file.replace(output / file.name)
    (output / "converted").rmdir()
    for name in COPIED:
        shutil.copyfile(checkpoint / name, output / name)  # not the read-only mode of DVC's files


def front_end(_checkpoint: Path) -> FrontEnd | None:
    """None: the runtime takes features."""
    return None


def differences(_checkpoint: Path, _directory: Path) -> Mapping[str, float]:
    """Nothing: its own format is not read back."""
    return {}


def _check(checkpoint: Path) -> None:
    """Refuse what the runtime would load and get wrong without a word."""
    needed = ("config.json", "generation_config.json", *COPIED)
    if missing := [name for name in needed if not (checkpoint / name).is_file()]:
        raise ExportError(
            f"{checkpoint} lacks {', '.join(missing)}; save its model, tokenizer and feature "
            "extractor with save_pretrained"
        )
    config = _json(checkpoint / "config.json")
    for key, allowed in POSITIONS.items():
        if config.get(key, allowed) != allowed:
            raise ExportError(
                f"{checkpoint}/config.json: {key} is {config[key]}; faster-whisper takes "
                f"{allowed} alone, as every published Whisper has"
            )
    generation = _json(checkpoint / "generation_config.json")
    if not generation.get("is_multilingual", True):
        return
    if not generation.get("lang_to_id"):
        raise ExportError(
            f"{checkpoint}/generation_config.json has no lang_to_id, without which the export "
            "knows no language; take the file of the published model"
        )
    # By this token alone the runtime tells a multilingual model from an English one, which
    # gets another prompt.
    if "" not in _json(checkpoint / "tokenizer.json")["model"]["vocab"]:
        raise ExportError(
            f"{checkpoint}/tokenizer.json has no empty token, so CTranslate2 would take the model "
            'for an English one; give "" an id in its vocabulary'
        )


def _json(file: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(file.read_bytes())
    except ValueError as error:
        raise ExportError(f"{file} cannot be read: {error}") from None
    return values
