"""Transcribing rows of a manifest."""

import math
import time

import numpy as np
import pandas as pd

from galgame_asr.audio.reader import ShardReader
from galgame_asr.batching import by_length, num_frames
from galgame_asr.console import Progress, log
from galgame_asr.decoding.transcript import Transcript
from galgame_asr.families import Family, Search
from galgame_asr.params.decode import DecodeParams
from galgame_asr.params.prompts import Prompt

# Tokens that even the shortest utterance may have beyond its share by duration.
EXTRA_TOKENS = 8


def transcribe(
    rows: pd.DataFrame, family: Family, reader: ShardReader, prompt: Prompt, params: DecodeParams
) -> list[Transcript]:
    """Transcribe utterances, in batches of similar length; in the order of `rows`.

    Raises:
        DataError: an utterance cannot be read; the message names it.
    """
    if rows.empty:
        return []
    durations_s = rows["duration_s"].to_numpy()
    frames = num_frames(durations_s)
    limits = [_max_tokens(duration_s, params) for duration_s in durations_s]
    order = np.argsort(frames, kind="stable")
    decoded: dict[int, Transcript] = {}
    start = time.monotonic()
    with Progress("decode", total=len(rows), unit="utterances") as progress:
        # Longest first: what does not fit into memory fails at once, and the ETA is honest.
        for batch in reversed(by_length(order, frames, params.batch_frames)):
            features = [
                family.features(reader.read_row(row)) for row in rows.iloc[batch].to_dict("records")
            ]
            search = Search(
                [limits[index] for index in batch], params.beams, params.no_repeat_ngram_size
            )
            decoded |= zip(batch, family.transcribe(features, prompt, search), strict=True)
            progress.update(len(batch))
    elapsed_s = time.monotonic() - start
    audio_s = durations_s.sum()
    log.info("%.0f s of audio, %.1f times as fast as speech", audio_s, audio_s / elapsed_s)
    return [decoded[index] for index in range(len(rows))]


def _max_tokens(duration_s: float, params: DecodeParams) -> int:
    by_duration = math.ceil(duration_s * params.max_tokens_per_s) + EXTRA_TOKENS
    return min(params.max_new_tokens, by_duration)
