"""Whisper by CTranslate2, in batches: the same texts as faster-whisper's, given padded audio."""

from collections.abc import Mapping

from transformers import WhisperFeatureExtractor

from galgame_asr.baselines.common import model
from galgame_asr.baselines.common.transcribe import Run, Sets
from galgame_asr.baselines.faster_whisper.params import FasterWhisperModel
from galgame_asr.decoding.transcripts import Transcripts
from galgame_asr.families.whisper.front import PREPROCESSOR

RUNTIME = "ctranslate2"


def transcribe(baseline: FasterWhisperModel, sets: Sets, run: Run) -> Mapping[str, Transcripts]:
    """See `common.transcribe`."""
    with model.directory(baseline.model, run) as folder:
        if not (folder / PREPROCESSOR).exists():
            # Published before large-v3: 80 mel bands, which faster-whisper takes too.
            WhisperFeatureExtractor().save_pretrained(folder)  # type: ignore[no-untyped-call]
        return model.transcribe(RUNTIME, folder, baseline.prompts, baseline.search, sets, run)
