"""Stage average@NAME: the mean of several checkpoints of one phase, models/NAME."""

from collections.abc import Sequence

from galgame_asr import compute
from galgame_asr.console import run
from galgame_asr.files import atomic_directory
from galgame_asr.params import load
from galgame_asr.params.average import AverageParams
from galgame_asr.params.compute import ComputeParams
from galgame_asr.params.model import ModelParams
from galgame_asr.paths import MACHINE, MODELS
from galgame_asr.training.average import average


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
