"""Stage average@NAME: the mean of several checkpoints of one phase, models/NAME."""

from collections.abc import Sequence

from galgame_asr.averaging.average import average
from galgame_asr.averaging.params import AverageParams
from galgame_asr.core.files import atomic_directory
from galgame_asr.core.params import load
from galgame_asr.core.paths import MACHINE, MODELS
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, ModelParams
from galgame_asr.messages.console import run


def main(arguments: Sequence[str]) -> None:
    """Write the averaged model named by the only argument."""
    (name,) = arguments
    compute.set_up(load(ComputeParams, "compute"), MACHINE)
    params = load(AverageParams, f"average.{name}")
    family = load(ModelParams, "model").family
    checkpoints = [MODELS / params.phase / f"p{percent}" for percent in params.checkpoints]
    with atomic_directory(MODELS / name) as output:
        average(family, checkpoints, output)


if __name__ == "__main__":
    run(main)
