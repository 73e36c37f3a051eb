"""Which utterances a phase trains on."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from galgame_asr.manifests.hashing import unit_hash
from galgame_asr.messages.errors import ConfigError


def select(rows: pd.DataFrame, mix: Mapping[str, float], key: str = "mix") -> pd.DataFrame:
    """Rows of the corpora in a mix, each in its share.

    A share below 1 keeps the utterances whose hash lies below it, so that 0.1
    is within 0.2; 2.5 is every utterance twice and half of them once more. `key` of params
    is for messages.

    Raises:
        ConfigError: the mix names a corpus that has no rows.
    """
    for corpus in mix:
        if not (rows["corpus"] == corpus).any():
            known = ", ".join(sorted(rows["corpus"].unique()))
            raise ConfigError(
                f"{key} names corpus '{corpus}', which has no rows here; known: {known}"
            )
    share = rows["corpus"].map(mix).fillna(0.0).to_numpy()
    place = rows["id"].map(unit_hash).to_numpy()
    repeats = np.floor(share).astype(int) + (place < share % 1)
    return rows.loc[rows.index.repeat(repeats)].reset_index(drop=True)
