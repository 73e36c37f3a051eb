"""All sections together: what a complete params.yaml holds.

`make repro` looks at it before DVC does: python -m galgame_asr.experiment.params.
"""

import dataclasses
import importlib
from collections.abc import Sequence

from pydantic import model_validator

from galgame_asr.auditing.params import AuditParams
from galgame_asr.averaging.params import Averages
from galgame_asr.base.params import BaseParams
from galgame_asr.baselines.params import Baselines
from galgame_asr.core.params import parse, read_params, refuse_links, section
from galgame_asr.corpora.params import Corpora
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.experiment import curriculum
from galgame_asr.families.common.params import (
    ComputeParams,
    MachineParams,
    ModelParams,
    Prompts,
)
from galgame_asr.formats.params import Exports
from galgame_asr.manifests.params import ManifestParams
from galgame_asr.messages.console import run
from galgame_asr.messages.errors import ConfigError
from galgame_asr.runtimes.extras import require
from galgame_asr.scoring.params import ScoreParams
from galgame_asr.splitting.params import SplitParams
from galgame_asr.training.params import CommonParams, PhaseParams, TrainingParams


@section
class TrainParams:
    """The curriculum: what all phases share, and the phases by name."""

    common: CommonParams
    phases: dict[str, PhaseParams]


@section
class Params:
    """One attribute per section."""

    corpora: Corpora
    manifest: ManifestParams
    split: SplitParams
    model: ModelParams
    compute: ComputeParams
    machine: MachineParams
    base: BaseParams
    train: TrainParams
    average: Averages
    decode: DecodeParams
    export: Exports
    baselines: Baselines
    audit: AuditParams
    prompts: Prompts
    score: ScoreParams

    @model_validator(mode="after")
    def _sections_agree(self) -> "Params":
        """Names in one section that another defines, before a stage meets them days later."""
        recipe = self.base.built.recipe
        if recipe and recipe.family != self.model.family:
            raise ConfigError(
                f"base.built has a model of family {recipe.family}; model.family is "
                f"{self.model.family}: change one of them"
            )
        curriculum.check(dataclasses.asdict(self))
        return self


# What `make repro` does not install, and its extra, by formats of exports and kinds of baselines.
EXTRAS = {
    "ctranslate2": ("ctranslate2", "whisper"),
    "faster_whisper": ("ctranslate2", "whisper"),
}


def main(_arguments: Sequence[str] = ()) -> None:
    """Refuse what would stop the run later, or DVC with a message of its own.

    Raises:
        ConfigError: params.yaml is not valid, has a learning rate for what is no part of the
            model, needs a package that is not installed, or a folder of outputs is a link.
    """
    refuse_links()
    params = parse(Params, read_params(), "")
    formats = [export.format for export in params.export.values()]
    for name in (*formats, *(baseline.kind for baseline in params.baselines.values())):
        if name in EXTRAS:
            package, extra = EXTRAS[name]
            require(package, extra=extra)
    built = {k: recipe.pretrain for k, recipe in vars(params.base.built).items() if recipe}
    for key, phase in (
        *((f"base.built.{kind}.pretrain", pretrain) for kind, pretrain in built.items()),
        *((f"train.phases.{name}", phase) for name, phase in params.train.phases.items()),
    ):
        if isinstance(phase.lr, dict):
            _check_rates(key, phase, params.model.family)


def _check_rates(key: str, params: TrainingParams, family: str) -> None:
    """Refuse a learning rate for what is no part of the model, and a part that has none."""
    # Here, as both take seconds to import, and most params have one rate for all.
    optimizer = importlib.import_module("galgame_asr.training.optimizer")
    parts = importlib.import_module(f"galgame_asr.families.{family}.family").PARTS
    try:
        learning = [part for part in parts if not params.freeze.get(part, True)]
        optimizer.part_rates(params.lr, parts, learning)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None


if __name__ == "__main__":
    run(main)
