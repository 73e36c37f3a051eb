"""Stage build@KIND: a small model from random weights, pretrained, as models/base."""

import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from galgame_asr.base.built import BuiltBase
from galgame_asr.core import utterances
from galgame_asr.core.files import atomic_directory, link_or_copy
from galgame_asr.core.params import load
from galgame_asr.core.paths import LOGS, MACHINE, MIX, MODELS, RAW
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, MachineParams, ModelParams
from galgame_asr.messages.console import run
from galgame_asr.messages.errors import ConfigError
from galgame_asr.training.params import CommonParams
from galgame_asr.training.phase import PhaseInputs, trained


def main(arguments: Sequence[str]) -> None:
    """Build the model of the kind named by the only argument."""
    (kind,) = arguments
    compute_params = load(ComputeParams, "compute")
    compute.set_up(compute_params, MACHINE)
    recipe = load(BuiltBase, "base.built").recipe
    assert recipe is not None
    family, common = load(ModelParams, "model").family, load(CommonParams, "train.common")
    if recipe.family != family:
        raise ConfigError(
            f"base.built.{kind} is of family {recipe.family}; model.family is {family}: "
            "change one of them"
        )
    texts = utterances.read(MIX / "base" / "texts.parquet")["text"]
    with TemporaryDirectory() as temporary:
        inputs = PhaseInputs(
            init=Path(temporary) / "init",
            family=family,
            params=recipe.pretrain,
            common=common,
            compute=compute_params,
            machine=load(MachineParams, "machine"),
            checkpoints=(100,),
            raw=RAW,
            mix=MIX / "base",
            logs=LOGS / "base",
        )
        builder = importlib.import_module(f"galgame_asr.base.tiny_{family}")
        builder.build(inputs.init, recipe, texts=texts, seed=common.seed)
        with trained(inputs) as results, atomic_directory(MODELS / "base") as output:
            shutil.copytree(
                results / "p100", output, dirs_exist_ok=True, copy_function=link_or_copy
            )


if __name__ == "__main__":
    run(main)
