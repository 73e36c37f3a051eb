"""Checks of an utterance's samples, which cost its decoding."""

import numpy as np
import pandas as pd

from galgame_asr.core.reader import ShardReader, decode
from galgame_asr.manifests.params import SignalParams
from galgame_asr.messages.console import Progress
from galgame_asr.messages.errors import DataError


def check(data: bytes, duration_s: float, params: SignalParams) -> list[str]:
    """What is wrong with the samples of an audio file.

    Args:
        data: the file's bytes.
        duration_s: what its headers say.
        params: limits; samples are in [-1, 1].
    """
    try:
        audio, rate_hz = decode(data)
    except DataError:
        return ["decode_error"]
    if not len(audio):
        return ["silent"]
    level = np.abs(audio)
    found = {
        # Also what a flipped bit in an Ogg file does: a page is skipped without an error.
        "length_mismatch": abs(len(audio) / rate_hz - duration_s) > params.max_length_error_s,
        "silent": level.max() < params.silent_peak
        or np.sqrt(np.mean(audio**2)) < params.silent_rms,
        "clipped": np.mean(level >= params.clipped_level) > params.max_clipped_share,
        "dc_offset": np.abs(audio.mean(axis=0)).max() > params.max_dc_offset,
    }
    return [flag for flag, is_so in found.items() if is_so]


def check_rows(rows: pd.DataFrame, reader: ShardReader, params: SignalParams) -> list[list[str]]:
    """The flags of each row, with those of its samples added.

    Raises:
        DataError: a shard is missing or too short.
    """
    flags = []
    with Progress("check the signal of", total=len(rows), unit="utterances") as progress:
        for row in rows.to_dict("records"):
            found = check(reader.row_bytes(row), row["duration_s"], params)
            flags.append([*row["flags"], *(flag for flag in found if flag not in row["flags"])])
            progress.update(1)
    return flags
