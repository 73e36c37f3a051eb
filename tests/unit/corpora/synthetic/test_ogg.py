"""Encoded speech has bytes that depend on the samples alone."""

import io

import numpy as np
import soundfile as sf

from galgame_asr.corpora.synthetic import ogg

SAMPLES = (8000 * np.sin(np.arange(40_000) / 20)).astype(np.int16)


def test_equal_samples_give_equal_bytes() -> None:
    """Libsndfile alone gives every file another serial number."""
    assert ogg.encode(SAMPLES, 16_000) == ogg.encode(SAMPLES, 16_000)


def test_the_stream_stays_valid() -> None:
    """libsndfile, which checks page checksums, decodes every sample."""
    audio, rate_hz = sf.read(io.BytesIO(ogg.encode(SAMPLES, 16_000)), dtype="int16")
    assert rate_hz == 16_000
    assert len(audio) == len(SAMPLES)
    assert np.corrcoef(audio, SAMPLES)[0, 1] > 0.99


def test_a_wrong_checksum_would_lose_samples() -> None:
    """The check of the test above can fail: one flipped checksum bit drops a page."""
    data = bytearray(ogg.encode(SAMPLES, 16_000))
    last_page = data.rindex(b"OggS")
    data[last_page + ogg.CRC] ^= 1
    audio, _ = sf.read(io.BytesIO(bytes(data)))
    assert len(audio) < len(SAMPLES)
