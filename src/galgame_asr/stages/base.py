"""Stage base@KIND: an existing model as the one that every curriculum starts from, models/base."""

import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from galgame_asr.base.existing import DirectoryBase, HubBase, RandomBase
from galgame_asr.core.files import atomic_directory
from galgame_asr.core.params import load
from galgame_asr.core.paths import MACHINE, MODELS
from galgame_asr.downloads import hub, kept
from galgame_asr.families.common import compute, foreign
from galgame_asr.families.common import family as families
from galgame_asr.families.common.params import ComputeParams, ModelParams
from galgame_asr.messages.console import run


def main(arguments: Sequence[str]) -> None:
    """Bring the model in that is of the kind named by the only argument.

    Those are the keys of section `base.existing`.
    """
    (kind,) = arguments
    compute.set_up(load(ComputeParams, "compute"), MACHINE)
    family = load(ModelParams, "model").family
    with atomic_directory(MODELS / "base") as output:
        weights = None
        if kind == "hub":
            base = load(HubBase, "base.existing.hub")
            files = hub.download(base.repo, base.revision, kind="model", source=base.source)
            kept.link(files, output)
            foreign.refuse_directory(output)
            weights = base.weights
        elif kind == "published_random":
            made = load(RandomBase, "base.existing.published_random")
            importlib.import_module(made.module).build(output, source=made.source, seed=made.seed)
        else:
            there = load(DirectoryBase, "base.existing.directory")
            # FunASR's trainer leaves a checkpoint per epoch beside model.pt.
            others = shutil.ignore_patterns("model.pt.*", ".cache")
            shutil.copytree(there.path, output, ignore=others, dirs_exist_ok=True)
            weights = there.weights
        if weights:
            families.load(family, output, Path(weights)).save(output)
        families.load(family, output)  # a damaged model is refused here, not in a phase


if __name__ == "__main__":
    run(main)
