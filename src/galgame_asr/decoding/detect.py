"""Of which family a model directory is; families.detect takes its place."""

import json
from pathlib import Path

from galgame_asr.errors import CheckpointError


def detect(directory: Path) -> str:
    """The family of a model directory, by its files.

    Raises:
        CheckpointError: it is of no family.
    """
    if (directory / "config.yaml").exists():
        return "fun_asr_nano"
    config = directory / "config.json"
    if (directory / "model.bin").exists() and (directory / "vocabulary.json").exists():
        return "whisper_ct2"
    if config.exists() and json.loads(config.read_text("utf-8")).get("model_type") == "whisper":
        return "whisper"
    raise CheckpointError(
        f"{directory} is no model directory: it has neither Fun-ASR-Nano's config.yaml nor "
        "Whisper's config.json"
    )
