"""The values that a phase's result depends on, for what trains and for what lists its work."""

from typing import Any

from galgame_asr.families.common.params import ComputeParams
from galgame_asr.training.params import CommonParams, TrainingParams


def depends(
    family: str,
    params: TrainingParams,
    common: CommonParams,
    compute: ComputeParams,
    checkpoints: tuple[int, ...],
    every_steps: int | None = None,
) -> dict[str, Any]:
    """The values by the names that messages call them by."""
    return {
        "family": family,
        "phase": params,
        "common": common,
        "compute": compute,
        "checkpoints": checkpoints,
        "every_steps": every_steps,
    }
