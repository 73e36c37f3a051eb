"""Models of funasr by its AutoModel, one utterance at a time."""

from collections.abc import Mapping

from galgame_asr.baselines.common import model
from galgame_asr.baselines.common.transcribe import Run, Sets
from galgame_asr.baselines.funasr.params import FunasrModel
from galgame_asr.decoding.transcripts import Transcripts
from galgame_asr.messages.errors import ConfigError
from galgame_asr.runtimes.funasr_models import model_class

NANO = "FunASRNano"


def transcribe(baseline: FunasrModel, sets: Sets, run: Run) -> Mapping[str, Transcripts]:
    """See `common.transcribe`."""
    with model.directory(baseline.model, run) as folder:
        told = (folder, baseline.prompts, baseline.search, sets, run)
        if model_class(folder) != NANO:
            return model.transcribe("funasr_models", *told, {"arguments": baseline.arguments})
        if baseline.arguments:
            raise ConfigError(
                f"baselines.{run.name}.arguments: those of Fun-ASR-Nano are its prompts and "
                "search; leave it out"
            )
        return model.transcribe("funasr", *told)
