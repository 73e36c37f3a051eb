"""What a checkpoint of Fun-ASR-Nano must be to be exported."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.family import WEIGHTS, FunAsrNano
from galgame_asr.families.fun_asr_nano.weights import read_config, read_weights
from galgame_asr.messages.errors import ExportError
from galgame_asr.runtimes import load as runtimes

# Section of config.yaml, key, the only value that a runtime knows, and FunASR's value where the
# key is missing.
Granted = Iterable[tuple[str, str, Any, Any]]


def load(checkpoint: Path, format_: str, granted: Granted = ()) -> FunAsrNano:
    """Load a checkpoint that an export is made of; see `check`.

    Raises:
        CheckpointError: as for `runtimes.load`.
        ExportError: as for `check`.
    """
    check(checkpoint, format_, granted)
    return fun_asr_nano.load(checkpoint)


def check(checkpoint: Path, format_: str, granted: Granted = ()) -> None:
    """Refuse a checkpoint that a runtime would get wrong, or could not be told.

    Args:
        checkpoint: a model directory.
        format_: of the export, for messages.
        granted: what the runtime takes for granted.

    Raises:
        CheckpointError: a file is missing or damaged.
        ExportError: it is of another family, its adapters are not folded in, or the runtime
            would compute something else.
    """
    family = runtimes.detect(checkpoint)
    if family != "fun_asr_nano":
        raise ExportError(
            f"{checkpoint} is of family {family}; the format {format_} takes fun_asr_nano alone"
        )
    config = read_config(checkpoint)
    configured = config["llm_conf"].get("use_lora")
    adapters = [name for name in read_weights(checkpoint / WEIGHTS) if ".lora_" in name]
    if configured or adapters:
        found = f"tensors such as {adapters[0]}" if adapters else "llm_conf.use_lora"
        raise ExportError(
            f"{checkpoint} has LoRA adapters that are not folded into its weights ({found}); "
            "export a checkpoint that this project saved, or fold them: W + alpha / r * B A"
        )
    for section, key, allowed, default in granted:
        if (value := (config.get(section) or {}).get(key, default)) != allowed:
            raise ExportError(
                f"{checkpoint}/config.yaml: {section}.{key} is {value}; the runtime takes "
                f"{allowed} for granted, as the published model has it. Export a checkpoint "
                "that was trained so"
            )
