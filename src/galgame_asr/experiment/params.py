"""All sections together: what a complete params.yaml holds."""

from collections.abc import Iterable

from pydantic import model_validator

from galgame_asr.averaging.params import Averages
from galgame_asr.base.params import Base, BuiltBase
from galgame_asr.core.errors import ConfigError
from galgame_asr.core.params import section
from galgame_asr.corpora.params import Corpora
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.families.common.params import ComputeParams, ModelParams, Prompts
from galgame_asr.formats.params import Exports
from galgame_asr.manifests.params import ManifestParams
from galgame_asr.scoring.params import ScoreParams
from galgame_asr.splitting.params import SplitParams
from galgame_asr.training.params import CommonParams, PhaseParams


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
    base: Base
    train: TrainParams
    average: Averages
    decode: DecodeParams
    export: Exports
    prompts: Prompts
    score: ScoreParams

    @model_validator(mode="after")
    def _names_are_known(self) -> "Params":
        """Names in one section that another defines, before a stage meets them days later."""
        phases = self.train.phases
        checkpoints = {"base"} | {
            f"{name}/p{percent}" for name, phase in phases.items() for percent in phase.checkpoints
        }
        used = {
            "split.out_of_domain": self.split.out_of_domain,
            "manifest.charset": self.manifest.charset,
            **{f"train.phases.{name}.mix": phase.mix for name, phase in phases.items()},
        }
        if isinstance(self.base, BuiltBase):
            if self.base.family != self.model.family:
                raise ConfigError(
                    f"base.kind is {self.base.kind}, of family {self.base.family}; model.family "
                    f"is {self.model.family}: change one of them"
                )
            used["base.pretrain.mix"] = self.base.pretrain.mix
        for key, names in used.items():
            _refuse_unknown(key, names, self.corpora, "corpora")
        inits = {f"train.phases.{name}.init": [phase.init] for name, phase in phases.items()}
        averaged = {
            f"average.{name}": [f"{model.phase}/p{percent}" for percent in model.checkpoints]
            for name, model in self.average.items()
        }
        for key, names in (inits | averaged).items():
            _refuse_unknown(key, names, checkpoints, "checkpoints")
        if taken := sorted({"base", "export", *phases} & set(self.average)):
            raise ConfigError(f"average.{taken[0]} has the name of another folder in models/")
        if taken := sorted({"base", "export"} & set(phases)):
            raise ConfigError(f"train.phases.{taken[0]} has the name of another folder in models/")
        checkpoints |= set(self.average)
        for name, export in self.export.items():
            _refuse_unknown(f"export.{name}", [export.checkpoint], checkpoints, "checkpoints")
            _refuse_unknown(
                f"export.{name}.verify", [export.verify.prompt], self.prompts, "prompts"
            )
        checkpoints |= {f"export/{name}" for name in self.export}
        _refuse_unknown("decode.checkpoints", self.decode.checkpoints, checkpoints, "checkpoints")
        return self


def _refuse_unknown(key: str, names: Iterable[str], known: Iterable[str], what: str) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ConfigError(f"{key} names {', '.join(unknown)}; {what}: {', '.join(sorted(known))}")
