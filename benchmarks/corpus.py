"""Made speech and texts in the file formats that corpora have; needs no voice and no download."""

import io
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
from numpy.typing import NDArray

from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.shards import tar

CORPUS = "vn"
KANA = (
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん"
)
# As soundfile names them; each also is the extension of its files.
CODECS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS"}


def speech(seconds: float, draw: np.random.Generator) -> NDArray[np.float32]:
    """Low noise that swells eight times a second: Vorbis takes 5 kB a second for it."""
    samples = round(seconds * SAMPLE_RATE_HZ)
    noise = np.convolve(draw.normal(size=samples), np.ones(12) / 12, "same")
    return (noise * np.resize(np.hanning(2000), samples) * 0.4).astype(np.float32)


def sentence(draw: random.Random, letters: int) -> str:
    """So many letters and a full stop."""
    return "".join(draw.choices(KANA, k=letters)) + "。"


def encode(audio: NDArray[np.float32], codec: str) -> bytes:
    """An audio file of `CODECS`; samples must be within [-1, 1]."""
    buffer = io.BytesIO()
    sf.write(buffer, audio, SAMPLE_RATE_HZ, format=codec.upper(), subtype=CODECS[codec])
    return buffer.getvalue()


def write_rows(
    directory: Path, audio: Sequence[NDArray[np.float32]], texts: Sequence[str], codec: str
) -> pd.DataFrame:
    """Write utterances as training reads them: raw/CORPUS.tar, and their rows in rows.parquet."""
    shard = directory / "raw" / f"{CORPUS}.tar"
    shard.parent.mkdir(parents=True)
    tar.write(shard, ((f"{n:04}.{codec}", encode(one, codec)) for n, one in enumerate(audio)))
    members = list(tar.members(shard))
    rows = pd.DataFrame(
        {
            "id": [Path(member.name).stem for member in members],
            "corpus": CORPUS,
            "shard": shard.name,
            "offset": [member.offset for member in members],
            "size": [member.size for member in members],
            "text": texts,
            "duration_s": [len(samples) / SAMPLE_RATE_HZ for samples in audio],
            "flags": [()] * len(members),
        }
    )
    rows.to_parquet(directory / "rows.parquet")
    return rows
