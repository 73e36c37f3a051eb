"""Lengths that headers only claim, and those that they do not know."""

import io

import numpy as np
import pytest
import soundfile as sf

from galgame_asr.core.reader import decode
from galgame_asr.corpora.synthetic import ogg
from galgame_asr.manifests import headers
from galgame_asr.messages.errors import DataError

RATE_HZ = 16_000
NOISE = np.random.default_rng(0).standard_normal(RATE_HZ * 3 // 2) * 0.1


def encoded(
    samples: np.ndarray[tuple[int], np.dtype[np.float64]], kind: str, **how: object
) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, samples, RATE_HZ, format=kind, **how)
    return buffer.getvalue()


def wav(claimed: int) -> bytes:
    data = bytearray(encoded(NOISE, "WAV"))
    at = data.index(b"data") + 4
    data[at : at + 4] = claimed.to_bytes(4, "little")
    return bytes(data)


def uncounted_flac() -> bytes:
    """As an encoder leaves it that cannot go back to the header."""
    data = bytearray(encoded(NOISE, "FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


@pytest.mark.parametrize("claimed", [0x8000_0000, 0x7FFF_FFFF - 36, 0xFFFF_FFFF, 0xFFFF_FFFF - 36])
def test_a_length_that_no_file_has_is_until_the_end(claimed: int) -> None:
    """What arecord, sox, ffmpeg and GStreamer leave when they write to a pipe."""
    found = headers.read(wav(claimed))
    assert (found.duration_s, found.complete) == (1.5, True)
    samples, rate_hz = decode(wav(claimed))
    assert (samples.shape, rate_hz) == ((len(NOISE), 1), RATE_HZ)


def test_a_file_cut_in_the_middle_is_truncated() -> None:
    """A length that a file could have, and this one does not."""
    data = encoded(NOISE, "WAV")
    assert headers.read(data[: len(data) // 2]) == headers.AudioHeader(RATE_HZ, 1, 1.5, False)


def test_flac_from_a_pipe_is_counted() -> None:
    """It has no number of samples; those that are there are decoded, bit for bit."""
    data = uncounted_flac()
    assert sf.info(io.BytesIO(data)).frames > 1 << 62
    assert headers.read(data) == headers.AudioHeader(RATE_HZ, 1, 1.5, True)
    expected, _ = decode(encoded(NOISE, "FLAC"))
    samples, rate_hz = decode(data)
    np.testing.assert_array_equal(samples, expected)
    assert rate_hz == RATE_HZ
    with pytest.raises(DataError, match="no audio"):
        decode(data[:100])


def test_mp3_of_varying_rate_without_a_count_is_counted() -> None:
    """The rate of its first frame says nothing about the others; an ID3 tag before it neither."""
    samples = np.concatenate([np.zeros(RATE_HZ * 6), np.tile(NOISE, 3)])
    whole = encoded(samples, "MP3", bitrate_mode="VARIABLE", compression_level=0.2)
    assert b"Xing" in whole[:200]
    rest = whole[whole.index(whole[:2], 4) :]  # without the frame that holds the count
    assert b"Xing" not in rest[:200]
    tag = b"ID3\x04\0\0" + bytes([0, 0, 2, 10]) + bytes(2 * 128 + 10)
    for data in (whole, tag + whole, rest, tag + rest):
        assert headers.read(data).duration_s == pytest.approx(len(samples) / RATE_HZ, abs=0.15)
        assert headers.read(data).duration_s == len(decode(data)[0]) / RATE_HZ


@pytest.mark.parametrize("rate_hz", [0, 1, 999, 0xFF00_0000])
def test_a_rate_that_nobody_records_at(rate_hz: int) -> None:
    """A damaged header would make hours of a second, or a number that no table holds."""
    data = bytearray(encoded(NOISE, "WAV"))
    data[24:28] = rate_hz.to_bytes(4, "little")
    for read in (headers.read, decode):
        with pytest.raises(DataError, match="no audio"):
            read(bytes(data))


def test_opus_shorter_than_what_it_skips() -> None:
    """The last position may lie in the encoder's lead-in (RFC 7845, section 4.5): no sound."""
    data = bytearray(encoded(NOISE, "OGG", subtype="OPUS"))
    page = data.rindex(b"OggS")
    data[page + 6 : page + 14] = (100).to_bytes(8, "little")
    assert headers.read(bytes(data)).duration_s == 0


def test_streams_in_a_row_are_told_from_one_of_many_pages() -> None:
    """Joined recordings have a second start; what libsndfile reads is the first alone."""
    data = ogg.encode((NOISE * 3e4).astype(np.int16), RATE_HZ)
    assert data.count(b"OggS") > 2
    assert headers.read(data) == headers.AudioHeader(RATE_HZ, 1, 1.5, True)
    with pytest.raises(DataError, match="several Ogg streams in a row"):
        headers.read(data + data)


def test_a_length_that_the_bytes_cannot_have_asks_for_no_memory() -> None:
    """FLAC that claims 17 million seconds is read until it ends."""
    data = bytearray(encoded(NOISE, "FLAC"))
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    assert headers.read(bytes(data)).complete is False
    assert len(decode(bytes(data))[0]) == len(NOISE)
