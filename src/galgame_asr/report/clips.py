"""Audio embedded in the report page."""

import base64
import io

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from galgame_asr.core.reader import SAMPLE_RATE_HZ

# Every browser plays MP3. This is 30 kbit/s, a quarter of the samples' FLAC.
COMPRESSION_LEVEL = 0.9


def data_uri(samples: NDArray[np.float32]) -> str:
    """Mono samples at 16 kHz as MP3; the same samples give the same text."""
    stream = io.BytesIO()
    sf.write(stream, samples, SAMPLE_RATE_HZ, format="MP3", compression_level=COMPRESSION_LEVEL)
    return f"data:audio/mpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
