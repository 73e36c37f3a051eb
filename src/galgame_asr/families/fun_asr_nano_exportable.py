"""What a checkpoint of Fun-ASR-Nano must be to be exported."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from galgame_asr import families
from galgame_asr.errors import ExportError
from galgame_asr.families import fun_asr_nano
from galgame_asr.families.fun_asr_nano import WEIGHTS, FunAsrNano
from galgame_asr.families.fun_asr_nano_weights import read_config, read_weights


def load(checkpoint: Path, format_: str) -> FunAsrNano:
    """Load a checkpoint that an export is made of.

    Raises:
        CheckpointError: as for `families.load`.
        ExportError: it is of another family, or its adapters are not folded in.
    """
    family = families.detect(checkpoint)
    if family != "fun_asr_nano":
        raise ExportError(
            f"{checkpoint} is of family {family}; the format {format_} takes fun_asr_nano alone"
        )
    configured = read_config(checkpoint)["llm_conf"].get("use_lora")
    adapters = [name for name in read_weights(checkpoint / WEIGHTS) if ".lora_" in name]
    if configured or adapters:
        found = f"tensors such as {adapters[0]}" if adapters else "llm_conf.use_lora"
        raise ExportError(
            f"{checkpoint} has LoRA adapters that are not folded into its weights ({found}); "
            "export a checkpoint that this project saved, or fold them: W + alpha / r * B A"
        )
    return fun_asr_nano.load(checkpoint)


def check_config(checkpoint: Path, granted: Iterable[tuple[str, str, Any, Any]]) -> None:
    """Compare config.yaml with what a runtime takes for granted.

    Args:
        checkpoint: a model directory.
        granted: section, key, the only value allowed, FunASR's value where the key is missing.

    Raises:
        ExportError: a value is another.
    """
    config = read_config(checkpoint)
    for section, key, allowed, default in granted:
        if (found := config.get(section, {}).get(key, default)) != allowed:
            raise ExportError(
                f"{checkpoint}/config.yaml: {section}.{key} is {found}; the runtime takes "
                f"{allowed} for granted, as the published model has it. Export a checkpoint "
                "that was trained so"
            )
