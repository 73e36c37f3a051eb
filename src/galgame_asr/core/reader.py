"""Reading single utterances, in place: out of tar shards, files of their own, or parts of files."""

import io
import os
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr
import xxhash
from numpy.typing import NDArray

from galgame_asr.core.paths import HOW_TO_GET_SHARDS, IN_PLACE, files_of
from galgame_asr.messages.errors import DataError, UtteranceError

SAMPLE_RATE_HZ = 16_000
# Samples of one window of the front ends' filter banks, 25 ms: in less there is no speech.
SHORTEST = SAMPLE_RATE_HZ // 40
RATES_HZ = range(1_000, 1_000_001)  # any other in a header is damage
BLOCK = 1 << 20  # samples decoded at once where nobody knows how many there are
UNCOUNTED = 1 << 62  # libsndfile's largest number, nearly: frames of FLAC written to a pipe
# Floats need not be in [-1, 1]: some programs write whole numbers as they are, of 32 bits at most.
LARGEST_SAMPLE = 2.0**32
# More frames than that are only claimed: silence as FLAC has about 400 in a byte.
MOST_FRAMES_PER_BYTE = 1_000
# How the name of a part of a file ends: its first frame, and the one after its last.
PART = re.compile(r"#(\d+)-(\d+)$")


def decode(data: bytes) -> tuple[NDArray[np.float32], int]:
    """All samples of an audio file, (frames, channels) in [-1, 1], and their rate in Hz.

    Raises:
        DataError: libsndfile cannot decode it, or it has samples that nobody recorded.
    """
    try:
        with opened(data) as file:
            if file.samplerate not in RATES_HZ:
                raise ValueError(f"{file.samplerate} Hz")
            if is_counted(file, len(data)):
                samples = file.read(dtype="float32", always_2d=True)
            else:
                samples = _to_the_end(file)
            if not np.max(np.abs(samples), initial=0) <= LARGEST_SAMPLE:
                raise ValueError("samples that are no numbers, or beyond all measure")
            return samples, file.samplerate
    except (sf.SoundFileError, ValueError) as error:
        # libsndfile's own words: soundfile puts an address of memory before them.
        raise DataError(f"no audio ({getattr(error, 'error_string', error)})") from None


class _Bytes(io.BytesIO):
    """A file in memory; of a seek to before its start soundfile would print a traceback."""

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):  # where a damaged header points
            return super().seek(0)


def opened(data: bytes) -> sf.SoundFile:
    """The bytes of an audio file, opened.

    Raises:
        SoundFileError: libsndfile cannot read their headers.
    """
    return sf.SoundFile(_Bytes(data))


def is_counted(file: sf.SoundFile, size: int) -> bool:
    """Whether a file of so many bytes can have the frames that its header claims."""
    return bool(file.frames <= BLOCK + MOST_FRAMES_PER_BYTE * size)


def _to_the_end(file: sf.SoundFile) -> NDArray[np.float32]:
    """Read a file that claims no length, or one that it cannot have.

    At its end soundfile has filled part of the array and fails to seek by the whole of it.
    """
    blocks: list[NDArray[np.float32]] = []
    while not blocks or not np.isnan(blocks[-1][-1, 0]):
        blocks.append(np.full((BLOCK // file.channels, file.channels), np.nan, np.float32))
        try:
            file.read(out=blocks[-1])
        except sf.LibsndfileError:
            if np.isnan(blocks[0][0, 0]):
                raise
    samples = np.concatenate(blocks)
    return samples[: np.count_nonzero(~np.isnan(samples[:, 0]))]


def part(path: Path, first: int, last: int) -> bytes:
    """Frames of an audio file as a WAV file of 16 bits.

    Args:
        path: the file.
        first: its first frame.
        last: the frame after its last.

    Raises:
        DataError: it is no audio, or ends before, or there are no such frames.
        OSError: it cannot be read.
    """
    if first >= last:
        raise DataError(f"no frame is from {first} to before {last}")
    with path.open("rb"):  # libsndfile does not say why not
        size = path.stat().st_size
    try:
        with sf.SoundFile(path) as file:
            rate_hz = file.samplerate
            if is_counted(file, size):
                file.seek(first)
                # Floats become integers without being scaled.
                kind = "float32" if file.subtype in ("FLOAT", "DOUBLE") else "int16"
                samples = file.read(last - first, dtype=kind)
            else:
                samples = decode(path.read_bytes())[0][first:last]
    except (sf.SoundFileError, TypeError) as error:  # .raw says nothing of itself
        raise DataError(f"no audio ({getattr(error, 'error_string', error)})") from None
    if len(samples) < last - first:
        raise DataError("the file is cut short")
    if samples.dtype != np.int16:
        samples = np.round(np.clip(samples * 32768, -32768, 32767)).astype(np.int16)
    buffer = io.BytesIO()
    sf.write(buffer, samples, rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def read_file(name: str, audio_hash: str) -> bytes:
    """The bytes of a file that is no shard, or those that `part` makes of a part of it.

    Args:
        name: @CORPUS/PATH, or @CORPUS/PATH#FIRST-LAST.
        audio_hash: xxh3_128 of the bytes, as they were when the corpus was taken in.

    Raises:
        DataError: it is missing, or has other bytes.
    """
    corpus, _, path = name.removeprefix(IN_PLACE).partition("/")
    link = files_of(corpus)
    frames = PART.search(path)
    file = Path(os.path.realpath(link)) / (path[: frames.start()] if frames else path)
    again = f"`dvc repro --force fetch@{corpus}` takes in what is there now"
    if not link.is_dir():
        raise DataError(
            f"{file} is not there: {link} must be a link to the folder of corpus {corpus}; {again}"
        )
    try:
        data = part(file, *map(int, frames.groups())) if frames else file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}; {again}") from None
    except DataError:
        data = b""
    if xxhash.xxh3_128_hexdigest(data) != audio_hash:
        raise DataError(f"{file} has changed since corpus {corpus} was taken in; {again}")
    return data


class ShardReader:
    """Reads audio by (shard, offset, size); each process opens its own files when it needs them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: dict[str, int] = {}
        self._process = os.getpid()

    def read_row(self, row: Mapping[Hashable, Any]) -> NDArray[np.float32]:
        """Decode the utterance of a manifest row: mono samples at 16 kHz in [-1, 1].

        Raises:
            DataError: as for `row_bytes`.
            UtteranceError: the bytes are no audio; the message names the utterance.
        """
        data = self.row_bytes(row)
        try:
            return _samples(data)
        except DataError as error:
            place = f"{self.root / row['shard']} at byte {row['offset']}"
            raise UtteranceError(f"utterance {row['id']}: {place}: {error}") from None

    def row_bytes(self, row: Mapping[Hashable, Any]) -> bytes:
        """The bytes of a manifest row's audio file.

        Raises:
            DataError: as for `read_bytes`, or for `read_file` of a row that is in no shard; the
                message names the utterance.
        """
        try:
            if row["shard"].startswith(IN_PLACE):
                return read_file(row["shard"], row["audio_hash"])
            return self.read_bytes(row["shard"], row["offset"], row["size"])
        except DataError as error:
            raise DataError(f"utterance {row['id']}: {error}") from None

    def read_bytes(self, shard: str, offset: int, size: int) -> bytes:
        """The bytes of one utterance's audio file.

        Raises:
            DataError: the shard is missing or too short.
        """
        if self._process != os.getpid():  # a forked worker shares no file with its parent
            self._open, self._process = {}, os.getpid()
        path = self.root / shard
        if shard not in self._open:
            try:
                self._open[shard] = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                raise DataError(f"shard {path} is missing; {HOW_TO_GET_SHARDS}") from None
        data = os.pread(self._open[shard], size, offset)
        if len(data) < size:
            raise DataError(
                f"shard {path} ends {size - len(data)} bytes before the end of the utterance at "
                f"byte {offset}; {HOW_TO_GET_SHARDS}"
            )
        return data


def _samples(data: bytes) -> NDArray[np.float32]:
    """Decode an audio file: mono samples at 16 kHz in [-1, 1].

    Raises:
        DataError: as for `decode`.
    """
    audio, rate_hz = decode(data)
    mono: NDArray[np.float32] = audio.mean(axis=1)
    if rate_hz != SAMPLE_RATE_HZ:
        mono = soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ)
    return mono
