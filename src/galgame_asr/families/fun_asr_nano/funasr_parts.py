"""What Fun-ASR-Nano and FSMN-VAD are made of, imported from funasr without the rest of it.

`import funasr` imports each of its several hundred modules, which takes longer than
many a stage. That walk is left out; what is needed is imported by name. Its notice
about ffmpeg does not apply: audio is read with soundfile.
"""

import contextlib
import io
from unittest import mock

with (
    mock.patch("pkgutil.walk_packages", return_value=()),
    contextlib.redirect_stdout(io.StringIO()),
):
    import funasr.models.fsmn_vad_streaming.encoder  # registers the VAD's encoder
    import funasr.models.llm_asr.adaptor  # registers the adaptor
    import funasr.models.sense_voice.model  # registers the encoder
    import funasr.tokenizer.whisper_tokenizer  # noqa: F401  registers the CTC branch's tokenizer
    from funasr.frontends.wav_frontend import WavFrontend, WavFrontendOnline, apply_cmvn, apply_lfr
    from funasr.models.fsmn_vad_streaming.model import FsmnVADStreaming
    from funasr.models.fun_asr_nano.checkpoint_utils import normalize_checkpoint_state
    from funasr.models.fun_asr_nano.ctc import CTC
    from funasr.models.fun_asr_nano.model import FunASRNano
    from funasr.register import tables
    from funasr.utils.fbank import fbank

__all__ = [
    "CTC",
    "FsmnVADStreaming",
    "FunASRNano",
    "WavFrontend",
    "WavFrontendOnline",
    "apply_cmvn",
    "apply_lfr",
    "fbank",
    "normalize_checkpoint_state",
    "tables",
]
