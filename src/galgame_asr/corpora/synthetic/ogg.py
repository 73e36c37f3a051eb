"""Ogg Vorbis with deterministic bytes.

libsndfile gives each stream a random serial number, so that encoding the same
samples twice gives different files. Format: RFC 3533, section 6.
"""

import io

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

# Page header fields: 4 bytes magic, version, flags, 8 bytes granule position,
# 4 bytes serial, 4 bytes sequence number, 4 bytes CRC, 1 byte count of segments.
SERIAL, CRC, SEGMENT_COUNT, SEGMENTS = 14, 22, 26, 27
SERIAL_NUMBER = 1


def encode(audio: NDArray[np.int16], sample_rate: int) -> bytes:
    """Encode mono 16-bit samples as Ogg Vorbis; equal samples give equal bytes."""
    buffer = io.BytesIO()
    sf.write(buffer, audio, sample_rate, format="OGG", subtype="VORBIS")
    return with_fixed_serial(buffer.getvalue())


def with_fixed_serial(data: bytes) -> bytes:
    """Give every page of an Ogg stream the same serial number, and its checksum anew."""
    out = bytearray(data)
    page = 0
    while page < len(out):
        segments = out[page + SEGMENTS : page + SEGMENTS + out[page + SEGMENT_COUNT]]
        end = page + SEGMENTS + len(segments) + sum(segments)
        out[page + SERIAL : page + SERIAL + 4] = SERIAL_NUMBER.to_bytes(4, "little")
        out[page + CRC : page + CRC + 4] = bytes(4)
        out[page + CRC : page + CRC + 4] = _crc(out[page:end]).to_bytes(4, "little")
        page = end
    return bytes(out)


def _crc(data: bytearray) -> int:
    """CRC-32 of RFC 3533: polynomial 0x04c11db7, not reflected, no final inversion."""
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _TABLE[crc >> 24 ^ byte]
    return crc


def _table_entry(index: int) -> int:
    crc = index << 24
    for _ in range(8):
        crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc


_TABLE = [_table_entry(index) for index in range(256)]
