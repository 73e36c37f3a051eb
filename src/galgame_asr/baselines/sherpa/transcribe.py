"""Models for sherpa-onnx by that runtime."""

from collections.abc import Mapping

from galgame_asr.baselines.common import model
from galgame_asr.baselines.common.params import Search
from galgame_asr.baselines.common.transcribe import Run, Sets
from galgame_asr.baselines.sherpa.params import SherpaModel
from galgame_asr.decoding.transcripts import Transcripts

RUNTIME = "sherpa_offline"


def transcribe(baseline: SherpaModel, sets: Sets, run: Run) -> Mapping[str, Transcripts]:
    """See `common.transcribe`."""
    options = {
        "recognizer": baseline.recognizer,
        "files": baseline.files,
        "arguments": baseline.arguments,
        "padding_s": baseline.padding_s,
    }
    with model.directory(baseline.model, run) as folder:
        return model.transcribe(RUNTIME, folder, baseline.prompts, Search(), sets, run, options)
