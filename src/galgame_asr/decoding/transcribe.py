"""Transcribing rows of a manifest."""

import numpy as np
import pandas as pd

from galgame_asr.audio.reader import ShardReader
from galgame_asr.batching import by_length, num_frames
from galgame_asr.console import Progress
from galgame_asr.families import Family
from galgame_asr.params.decode import DecodeParams
from galgame_asr.params.prompts import Prompt


def transcribe(
    rows: pd.DataFrame, family: Family, reader: ShardReader, prompt: Prompt, params: DecodeParams
) -> list[str]:
    """Transcribe utterances, in batches of similar length; texts in the order of `rows`.

    Raises:
        DataError: an utterance cannot be read; the message names it.
    """
    if rows.empty:
        return []
    frames = num_frames(rows["duration_s"].to_numpy())
    order = np.argsort(frames, kind="stable")
    texts = [""] * len(rows)
    with Progress("decode", total=len(rows), unit="utterances") as progress:
        # Longest first: what does not fit into memory fails at once, and the ETA is honest.
        for batch in reversed(by_length(order, frames, params.batch_frames)):
            features = [
                family.features(reader.read_row(row)) for row in rows.iloc[batch].to_dict("records")
            ]
            decoded = family.transcribe(features, prompt, max_new_tokens=params.max_new_tokens)
            for index, text in zip(batch, decoded, strict=True):
                texts[index] = text
            progress.update(len(batch))
    return texts
