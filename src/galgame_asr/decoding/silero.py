"""Silero VAD, with the model that its wheel brings; needing neither network nor torchaudio."""

from pathlib import Path

import torch

from galgame_asr.decoding.segments import Audio, Segment, plain_torch
from galgame_asr.messages.errors import ConfigError

try:
    with plain_torch():  # its import sets torch to one thread, for the whole process
        import silero_vad
except ModuleNotFoundError as missing:
    raise ConfigError(
        f"{missing.name} is not installed: pip install -c constraints.txt -e '.[subtitle]'"
    ) from None

# FSMN-VAD's published `lookback_time_start_point`, so that both detectors begin alike; silero's
# own 30 ms clip the onsets of the sentences in the tests.
MARGIN_MS = 200
# Probability above which 32 ms of audio sound like speech. No noise that was tried is above 0.16;
# of the 360 sentences of the embedded corpus, some over music, one stays below, and 26 have no
# stretch that is as sure and as long as silero's defaults ask for.
HEARD = 0.3


class Silero:
    """The `Detector` of silero-vad; thresholds and shortest durations are its defaults."""

    def __init__(self, model: torch.jit.ScriptModule) -> None:
        self.model = model

    @plain_torch()
    def speech(self, audio: Audio) -> list[Segment]:
        """Speech with 200 ms around it, or half of a shorter pause; see `Detector`."""
        found = silero_vad.get_speech_timestamps(
            torch.from_numpy(audio), self.model, speech_pad_ms=MARGIN_MS
        )
        return [Segment(stretch["start"], stretch["end"]) for stretch in found]

    @plain_torch()
    def hears(self, audio: Audio) -> bool:
        """See `Detector`."""
        found = silero_vad.get_speech_timestamps(
            torch.from_numpy(audio), self.model, threshold=HEARD, min_speech_duration_ms=0
        )
        return bool(found)


def load(directory: Path | None) -> Silero:
    """Load the wheel's TorchScript model.

    Raises:
        ConfigError: a directory is given.
    """
    if directory is not None:
        raise ConfigError(f"silero's model is in its wheel; {directory} would be ignored")
    return Silero(silero_vad.load_silero_vad(onnx=False))
