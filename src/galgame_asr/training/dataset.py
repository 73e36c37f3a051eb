"""Utterances as training examples, with their features cached while they fit."""

import zlib
from collections.abc import Sequence

import pandas as pd
import soxr
import torch
from torch.utils.data import Dataset

from galgame_asr.core.reader import ShardReader
from galgame_asr.families.common.batching import Pick
from galgame_asr.families.common.family import Example, Family
from galgame_asr.families.common.params import Prompt
from galgame_asr.training.params import AugmentParams
from galgame_asr.training.spec_augment import mask


class Utterances(Dataset[Example]):
    """Rows of a manifest, indexed by `Pick`."""

    def __init__(
        self,
        rows: pd.DataFrame,
        family: Family,
        reader: ShardReader,
        *,
        prompts: Sequence[Prompt],
        cache_bytes: int,
        augment: AugmentParams | None = None,
        seed: int = 0,
    ) -> None:
        self.rows = rows
        self.family, self.reader, self.prompts = family, reader, prompts
        self.augment, self.seed = augment, seed
        self._cache: dict[tuple[int, float], torch.Tensor] = {}
        self._cache_left = cache_bytes

    def __getitem__(self, pick: Pick) -> Example:
        """The example of a row in an epoch.

        What is drawn for it is a matter of utterance and epoch alone, so that there is
        no state to resume.

        Raises:
            DataError: the audio cannot be read; the message names the utterance.
        """
        row = self.rows.iloc[pick.row]
        features = self._features(pick)
        draw = zlib.crc32(f"{row['id']}\0{pick.epoch}".encode())
        if self.augment:
            features = mask(features, self.family.num_mels, self.augment, [self.seed, draw])
        prompt = self.prompts[draw % len(self.prompts)]
        return Example(
            f"{row['corpus']}/{row['id']}",
            features,
            prompt,
            row["text"],
            float(row["duration_s"]) / pick.speed,
        )

    def _features(self, pick: Pick) -> torch.Tensor:
        key = (pick.row, pick.speed)
        if key in self._cache:
            return self._cache[key]
        audio = self.reader.read_row(self.rows.iloc[pick.row].to_dict())
        if pick.speed != 1:
            audio = soxr.resample(audio, pick.speed, 1.0)
        features = self.family.features(audio)
        if features.nbytes <= self._cache_left:
            self._cache_left -= features.nbytes
            self._cache[key] = features
        return features
