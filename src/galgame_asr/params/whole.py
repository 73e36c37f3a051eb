"""All sections together: what a complete params.yaml holds."""

from galgame_asr.params import section
from galgame_asr.params.base import Base
from galgame_asr.params.compute import ComputeParams
from galgame_asr.params.corpora import Corpora
from galgame_asr.params.decode import DecodeParams
from galgame_asr.params.manifest import ManifestParams
from galgame_asr.params.model import ModelParams
from galgame_asr.params.prompts import Prompts
from galgame_asr.params.split import SplitParams
from galgame_asr.params.train import CommonParams, PhaseParams


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
    decode: DecodeParams
    prompts: Prompts
