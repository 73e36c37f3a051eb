"""Which utterances a phase trains on."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from galgame_asr.core.paths import NOT_SPEECH
from galgame_asr.manifests.hashing import unit_hash
from galgame_asr.messages.errors import ConfigError

# Of music or noise a model learns silence in pieces of at most so long, about as long as a line.
LONGEST_SILENCE_S = 10.0


def mixed(
    train: pd.DataFrame,
    dev: pd.DataFrame,
    left_out: pd.DataFrame,
    mix: Mapping[str, float],
    key: str = "mix",
) -> dict[str, pd.DataFrame]:
    """The tables of a phase, by name: train, dev, and noise where its mix names music or noise.

    Rows without speech train to an empty text, in the share of their corpus and after the speech;
    longer ones are cut when they are read. Table noise has all rows that came as no speech.

    Args:
        train: the training set.
        dev: the dev set.
        left_out: rows that are in no set; those without speech have the flag `NOT_SPEECH`.
        mix: share of each corpus.
        key: of params, for messages.

    Raises:
        ConfigError: the mix names a corpus that has no rows, or no speech at all.
    """
    flagged = left_out["flags"].map(lambda flags: NOT_SPEECH in flags).astype(bool)
    silent = left_out[flagged & left_out["corpus"].isin(mix)].reset_index(drop=True)
    silent_alone = set(silent["corpus"]) - set(train["corpus"])
    spoken = {name: share for name, share in mix.items() if name not in silent_alone}
    if not spoken:
        raise ConfigError(f"{key} names {', '.join(mix)} alone, without speech; add a corpus of it")
    tables = {"train": select(train, spoken, key), "dev": select(dev, spoken, key)}
    if silent.empty:
        return tables
    learnt = select(silent, {name: mix[name] for name in silent["corpus"].unique()}, key)
    if not learnt.empty:
        learnt["text"] = ""
        if "sentences" in learnt:
            learnt["sentences"] = None
        learnt["duration_s"] = learnt["duration_s"].clip(upper=LONGEST_SILENCE_S)
        tables["train"] = pd.concat([tables["train"], learnt], ignore_index=True)
    noise = silent[silent["upstream_set"] == NOT_SPEECH].reset_index(drop=True)
    return tables if noise.empty else tables | {"noise": noise}


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
