"""What an audio file's headers tell, without decoding it: codec, rate, channels and length.

Ogg is read by its pages (RFC 3533; Vorbis I specification, section 4.2.2; Opus in
RFC 7845, section 5.1), FLAC by STREAMINFO (RFC 9639, section 8.2), WAV by its chunks.
Anything else that libsndfile reads, such as MP3, is left to libsndfile, which is slower.
"""

import struct
from dataclasses import dataclass

import soundfile as sf

from galgame_asr.core.reader import RATES_HZ, UNCOUNTED, decode, opened
from galgame_asr.messages.errors import DataError

OPUS_CLOCK_HZ = 48_000
# What libsndfile decodes Opus at: the rate of the original if Opus has it, else 48 kHz.
OPUS_RATES_HZ = {8000, 12_000, 16_000, 24_000, 48_000}
OGG_START_OF_STREAM, OGG_END_OF_STREAM = 2, 4
OGG_NO_GRANULE = 0xFFFF_FFFF_FFFF_FFFF
# Lengths of a WAV's samples that nobody counted: what wrote to a pipe puts 0 there, or about what
# the field holds (arecord 0x80000000, sox 0x7FFFFFFF - 36, GStreamer 0xFFFFFFFF - 36).
WAV_LARGEST_COUNTED = 0x7FFF_0000
WAV_PLAIN = {1, 3, 0xFFFE}  # PCM, float, extensible: bytes per frame are constant


@dataclass(frozen=True)
class AudioHeader:
    """What the headers of one audio file say."""

    sample_rate_hz: int
    channels: int
    duration_s: float
    # The file reaches the end that its headers announce.
    complete: bool


def read(data: bytes) -> AudioHeader:
    """Read the headers of a whole audio file.

    Raises:
        DataError: the bytes are no audio that libsndfile can read.
    """
    try:
        header = _read(data)
    except (struct.error, IndexError, ValueError, ZeroDivisionError, sf.SoundFileError) as error:
        raise DataError(f"no audio: {error}") from None
    if header.sample_rate_hz not in RATES_HZ or not header.channels:
        raise DataError(f"no audio: {header.channels} channels at {header.sample_rate_hz} Hz")
    return header


def _read(data: bytes) -> AudioHeader:
    if data.startswith(b"OggS"):
        return _ogg(data)
    if data.startswith(b"fLaC"):
        return _flac(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WAVE":
        return _wav(data)
    return _by_libsndfile(data)


def _ogg(data: bytes) -> AudioHeader:
    if _is_chained(data):
        raise ValueError("several Ogg streams in a row, of which libsndfile decodes one")
    packet = 27 + data[26]
    page, complete = _last_page(data)
    (granule,) = struct.unpack_from("<Q", data, page + 6)
    if data[packet : packet + 7] == b"\x01vorbis":
        channels, rate_hz = struct.unpack_from("<BI", data, packet + 11)
        return AudioHeader(rate_hz, channels, granule / rate_hz, complete)
    if data[packet : packet + 8] == b"OpusHead":
        channels, pre_skip, rate_hz = struct.unpack_from("<BHI", data, packet + 9)
        rate_hz = rate_hz if rate_hz in OPUS_RATES_HZ else OPUS_CLOCK_HZ
        samples = max(0, granule - pre_skip)
        return AudioHeader(rate_hz, channels, samples / OPUS_CLOCK_HZ, complete)
    return _by_libsndfile(data)


def _is_chained(data: bytes) -> bool:
    """Whether a stream starts after another one had its pages, as in joined recordings."""
    page, begun = 0, False
    while data.startswith(b"OggS", page) and page + 27 <= len(data):
        starts = bool(data[page + 5] & OGG_START_OF_STREAM)
        if starts and begun:
            return True
        begun |= not starts
        segments = data[page + 27 : page + 27 + data[page + 26]]
        page += 27 + len(segments) + sum(segments)
    return False


def _last_page(data: bytes) -> tuple[int, bool]:
    """Where the last page with a position starts, and whether the stream ends as it should."""
    page = data.rfind(b"OggS")
    flags, segments = data[page + 5], data[page + 27 : page + 27 + data[page + 26]]
    end = page + 27 + len(segments) + sum(segments)
    complete = end == len(data) and bool(flags & OGG_END_OF_STREAM)
    while struct.unpack_from("<Q", data, page + 6)[0] == OGG_NO_GRANULE:
        page = data.rindex(b"OggS", 0, page)
    return page, complete


def _flac(data: bytes) -> AudioHeader:
    (packed,) = struct.unpack_from(">Q", data, 18)
    rate_hz, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    if not samples:  # a stream that was written without knowing its length
        return _by_libsndfile(data)
    # FLAC does not say how many bytes there should be: only the last sample tells.
    with opened(data) as file:
        try:
            file.seek(samples - 1)
            complete = len(file.read(1)) == 1
        except sf.LibsndfileError:
            complete = False
    return AudioHeader(rate_hz, channels, samples / rate_hz, complete)


def _wav(data: bytes) -> AudioHeader:
    position, layout = 12, None
    while position + 8 <= len(data):
        kind, size = data[position : position + 4], *struct.unpack_from("<I", data, position + 4)
        start = position + 8
        if kind == b"fmt ":
            layout = struct.unpack_from("<HHIIH", data, start)
        if kind == b"data" and layout:
            code, channels, rate_hz, _, frame_bytes = layout
            complete = start + size <= len(data)
            uncounted = size == 0 or (size > WAV_LARGEST_COUNTED and not complete)
            if code not in WAV_PLAIN or uncounted:
                return _by_libsndfile(data)
            return AudioHeader(rate_hz, channels, size // frame_bytes / rate_hz, complete)
        position = start + size + size % 2
    raise ValueError("a WAV file without samples")


def _by_libsndfile(data: bytes) -> AudioHeader:
    with opened(data) as file:
        frames = file.frames if _knows_its_length(file, data) else len(decode(data)[0])
        return AudioHeader(file.samplerate, file.channels, frames / file.samplerate, True)


def _knows_its_length(file: sf.SoundFile, data: bytes) -> bool:
    """Whether libsndfile's number of frames is more than a guess.

    Of FLAC without one it is the largest number there is. Of MP3 it follows from the bit rate of
    the first frame, which is wrong where the rate varies, unless that frame holds a count
    (http://gabriel.mp3-tech.org/mp3infotag.html).
    """
    if file.format == "MP3":
        start = 0
        if data.startswith(b"ID3"):  # its size has 7 bits a byte
            start = 10 + sum(byte << 7 * place for place, byte in enumerate(data[9:5:-1]))
        first = data[start : start + 200]
        return any(tag in first for tag in (b"Xing", b"Info", b"VBRI"))
    return bool(file.frames < UNCOUNTED)
