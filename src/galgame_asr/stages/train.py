"""Stage train@PHASE: one phase of the curriculum, models/PHASE/pNN and its records."""

import shutil
from collections.abc import Sequence

from galgame_asr.core.files import atomic_directory, link_or_copy
from galgame_asr.core.params import load
from galgame_asr.core.paths import LOGS, MACHINE, MIX, MODELS, RAW, RECORDS
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, MachineParams, ModelParams
from galgame_asr.messages.console import run
from galgame_asr.training.params import CommonParams, PhaseParams
from galgame_asr.training.phase import PhaseInputs, trained


def main(arguments: Sequence[str]) -> None:
    """Train the phase named by the only argument."""
    (name,) = arguments
    compute_params = load(ComputeParams, "compute")
    compute.set_up(compute_params, MACHINE)
    params = load(PhaseParams, f"train.phases.{name}")
    common = load(CommonParams, "train.common")
    family = load(ModelParams, "model").family
    inputs = PhaseInputs(
        init=MODELS / params.init,
        family=family,
        params=params,
        common=common,
        compute=compute_params,
        machine=load(MachineParams, "machine"),
        checkpoints=params.checkpoints,
        every_steps=params.every_steps,
        raw=RAW,
        mix=MIX / name,
        logs=LOGS / name,
    )
    with (
        trained(inputs) as results,
        atomic_directory(MODELS / name) as output,
    ):
        # The results stay where they are until all are in their place: a kill loses none.
        for record in RECORDS:
            link_or_copy(results / record, output / record)
        by_step = [path.name for path in results.glob("s[0-9]*")]
        for checkpoint in (*by_step, *(f"p{percent}" for percent in params.checkpoints)):
            shutil.copytree(results / checkpoint, output / checkpoint, copy_function=link_or_copy)


if __name__ == "__main__":
    run(main)
