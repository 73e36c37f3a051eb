"""Utterances as training examples, with their features cached while they fit."""

import zlib
from collections.abc import Sequence

import pandas as pd
import torch
from torch.utils.data import Dataset

from galgame_asr.audio.reader import ShardReader
from galgame_asr.families import Example, Family
from galgame_asr.params.prompts import Prompt


class Utterances(Dataset[Example]):
    """Rows of a manifest, indexed by (epoch, row number)."""

    def __init__(
        self,
        rows: pd.DataFrame,
        family: Family,
        reader: ShardReader,
        *,
        prompts: Sequence[Prompt],
        cache_bytes: int,
    ) -> None:
        self.rows = rows
        self.family, self.reader, self.prompts = family, reader, prompts
        self._cache: dict[int, torch.Tensor] = {}
        self._cache_left = cache_bytes

    def __getitem__(self, key: tuple[int, int]) -> Example:
        """The example of a row in an epoch.

        Raises:
            DataError: the audio cannot be read; the message names the utterance.
        """
        epoch, number = key
        row = self.rows.iloc[number]
        if number not in self._cache:
            features = self.family.features(self.reader.read_row(row.to_dict()))
            if features.nbytes <= self._cache_left:
                self._cache_left -= features.nbytes
                self._cache[number] = features
        else:
            features = self._cache[number]
        # Which prompt is a matter of utterance and epoch alone: no state to resume.
        draw = zlib.crc32(f"{row['id']}\0{epoch}".encode())
        return Example(row["id"], features, self.prompts[draw % len(self.prompts)], row["text"])
