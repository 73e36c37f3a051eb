"""Output of a frozen encoder, kept from one epoch to the next."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from galgame_asr.families.common.family import Family
from galgame_asr.families.common.params import MachineParams
from galgame_asr.messages.console import log
from galgame_asr.training.params import TrainingParams


def encoder_cache(
    family: Family, params: TrainingParams, machine: MachineParams
) -> "EncoderCache | None":
    """The cache of a phase, if it is asked for and the encoder's output stays the same."""
    if not machine.encoder_cache_mb:
        return None
    prefix = family.parts["encoder"]
    learning = (n for n, p in family.model.named_parameters() if p.requires_grad)
    if params.augment or any(name.startswith(prefix) for name in learning):
        log.info("no encoder cache: in this phase the encoder's output changes")
        return None
    return EncoderCache(family, machine.encoder_cache_mb * 1_000_000)


class EncoderCache:
    """What the encoder gave for each utterance, as far as it fits into `max_bytes`."""

    def __init__(self, family: Family, max_bytes: int) -> None:
        self.family = family
        self._left = max_bytes
        self._outputs: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def encoded(self, ids: Sequence[str], batch: dict[str, Any]) -> torch.Tensor:
        """Encoder output (B, T, D) of a batch, bit for bit as the encoder gives it."""
        if all(id_ in self._outputs for id_ in ids):
            device = next(v.device for v in batch.values() if isinstance(v, torch.Tensor))
            rows = [self._outputs[id_].to(device) for id_ in ids]
            return pad_sequence(rows, batch_first=True)
        encoded, lengths = self.family.encode(batch)
        for id_, row, length in zip(ids, encoded, lengths.tolist(), strict=True):
            if id_ not in self._outputs and row[:length].nbytes <= self._left:
                self._outputs[id_] = row[:length].cpu().clone()
                self._left -= self._outputs[id_].nbytes
        return encoded
