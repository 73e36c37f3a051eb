"""Stage base: the model every curriculum starts from, models/base."""

import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from galgame_asr.base.params import Base, BuiltBase, HubBase
from galgame_asr.core import utterances
from galgame_asr.core.files import atomic_directory
from galgame_asr.core.params import load
from galgame_asr.core.paths import LOGS, MACHINE, MODELS, RAW, SPLIT
from galgame_asr.downloads import hub, kept
from galgame_asr.families.common import compute
from galgame_asr.families.common import family as families
from galgame_asr.families.common.params import ComputeParams, ModelParams
from galgame_asr.messages.console import run
from galgame_asr.messages.errors import ConfigError
from galgame_asr.training.params import CommonParams
from galgame_asr.training.phase import PhaseInputs, trained


def main(_arguments: Sequence[str]) -> None:
    """Build and pretrain a tiny model, or bring a published one in."""
    compute_params = load(ComputeParams, "compute")
    compute.set_up(compute_params, MACHINE)
    base: Base = load(Base, "base")
    family = load(ModelParams, "model").family
    with atomic_directory(MODELS / "base") as output:
        if isinstance(base, BuiltBase):
            _pretrain(family, base, compute_params, output)
        elif isinstance(base, HubBase):
            kept.link(hub.download(base.repo, base.revision, kind="model"), output)
        else:
            # FunASR's trainer leaves a checkpoint per epoch beside model.pt.
            others = shutil.ignore_patterns("model.pt.*", ".cache")
            shutil.copytree(base.path, output, ignore=others, dirs_exist_ok=True)
        if not isinstance(base, BuiltBase) and base.weights:
            families.load(family, output, Path(base.weights)).save(output)
        families.load(family, output)  # a damaged model is refused here, not in a phase


def _pretrain(family: str, base: BuiltBase, compute_params: ComputeParams, output: Path) -> None:
    if base.family != family:
        raise ConfigError(
            f"base.kind is {base.kind}, of family {base.family}; model.family is {family}: "
            "change one of them"
        )
    common = load(CommonParams, "train.common")
    texts = utterances.read(SPLIT / "train.parquet")["text"]
    builder = importlib.import_module(f"galgame_asr.base.tiny_{family}")
    with TemporaryDirectory() as temporary:
        inputs = PhaseInputs(
            init=Path(temporary) / "init",
            family=family,
            params=base.pretrain,
            common=common,
            compute=compute_params,
            checkpoints=(100,),
            raw=RAW,
            split=SPLIT,
            logs=LOGS / "base",
        )
        builder.build(inputs.init, base, texts=texts, seed=common.seed)
        with trained(inputs) as results:
            shutil.copytree(results / "p100", output, dirs_exist_ok=True)


if __name__ == "__main__":
    run(main)
