"""Whisper and Qwen3-ASR by the code that decodes this project's own models, and by transformers."""

from collections.abc import Mapping

from galgame_asr.baselines.common import model
from galgame_asr.baselines.common.transcribe import Run, Sets
from galgame_asr.baselines.transformers.params import TransformersModel
from galgame_asr.decoding.transcripts import Transcripts
from galgame_asr.messages.errors import CheckpointError
from galgame_asr.runtimes import load as runtimes

FAMILIES = ("whisper", "qwen3_asr")


def transcribe(baseline: TransformersModel, sets: Sets, run: Run) -> Mapping[str, Transcripts]:
    """See `common.transcribe`.

    Raises:
        CheckpointError: the files are of another family.
    """
    with model.directory(baseline.model, run) as folder:
        family = runtimes.detect(folder)
        if family not in FAMILIES:
            raise CheckpointError(
                f"baselines.{run.name} is of family {family}; kind transformers decodes "
                f"{' and '.join(FAMILIES)}"
            )
        return model.transcribe(family, folder, baseline.prompts, baseline.search, sets, run)
