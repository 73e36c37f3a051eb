"""Fun-ASR-Nano for planning: sizes from config files alone, and steps on fake tensors."""

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

from galgame_asr.base import fun_asr_nano_2512
from galgame_asr.families.common.params import CtcBranch
from galgame_asr.families.fun_asr_nano import ctc_branch
from galgame_asr.families.fun_asr_nano.family import (
    PARTS,
    WEIGHTS,
    FunAsrNano,
    num_speech_tokens,
)
from galgame_asr.families.fun_asr_nano.filter_banks import FilterBanks
from galgame_asr.families.fun_asr_nano.funasr_parts import CTC, tables
from galgame_asr.families.fun_asr_nano.network import CTC_TOKENS, IGNORED, Model
from galgame_asr.families.fun_asr_nano.weights import read_config, read_weights
from galgame_asr.planning import memory

# Tokens of the instruction 语音转写成日文： with its frame, before and after the speech, in
# Qwen3's vocabulary.
TOKENS_BEFORE, TOKENS_AFTER = 21, 5
# Of a config.yaml of a published model that is only planned: its file lacks what it describes.
BRANCH_IN_FILE = "branch_in_file"

CONFIG_FILE = "config.yaml"


class Planned(FunAsrNano):
    """A `FunAsrNano` without weights, tokenizer and texts; made on the present device."""

    def __init__(self, directory: Path) -> None:
        self.config = read_config(directory)
        self.branch = _ctc_branch(self.config) if _has_branch(directory, self.config) else {}
        config = {k: v for k, v in self.config.items() if k != "ctc_decoder"}
        config["llm_conf"] = config["llm_conf"] | {"llm_dtype": "fp32"}  # as in `load`
        with torch.device("cpu"):
            frontend = FilterBanks(**config["frontend_conf"])
        model = Model(**config, input_size=frontend.output_size(), vocab_size=-1)
        super().__init__(directory, model, None, frontend, {})

    def add_ctc_loss(self, weight: float, branch: CtcBranch | None) -> None:
        """As in `FunAsrNano`; a branch of the checkpoint is as large as a new one."""
        if branch is None:
            self.model.add_ctc_head(weight)
            return
        saved = {ctc_branch.OUTPUT: torch.empty(0)} if self.branch else {}
        ctc_branch.refuse(self.directory, self.config, saved, branch)
        self.model.add_ctc_branch(self.config, None, weight)

    def batch(self, utterances: int, duration_s: float, text_tokens: int) -> dict[str, Any]:
        """Arguments of the model for utterances that are all alike; random, and zeros."""
        frames = math.ceil(duration_s * 100 / self.frontend.lfr_n)
        heard = num_speech_tokens(frames)
        length = TOKENS_BEFORE + heard + TOKENS_AFTER + text_tokens + 1
        labels = torch.full((utterances, length), IGNORED)
        labels[:, -text_tokens - 1 :] = 1
        batch = {
            "speech": torch.randn(utterances, frames, self.frontend.output_size()),
            "speech_lengths": torch.full((utterances,), frames, dtype=torch.int32),
            "input_ids": torch.zeros(utterances, length, dtype=torch.long),
            "attention_mask": torch.ones(utterances, length, dtype=torch.long),
            "labels_ids": labels,
            "fbank_beg": torch.full((utterances,), TOKENS_BEFORE),
            "fake_token_len": torch.full((utterances,), heard),
            "instruction": [0] * TOKENS_BEFORE,
        }
        if self.model.ctc_weight:
            batch["ctc_labels"] = torch.ones(utterances, text_tokens, dtype=torch.long)
        return batch

    def num_parameters(self) -> dict[str, int]:
        """Parameters by component; those of the CTC branch too, if there is one."""
        components: dict[str, nn.Module] = {
            part: getattr(self.model, prefix.removesuffix(".")) for part, prefix in PARTS.items()
        }
        return {
            name: sum(p.numel() for p in module.parameters())
            for name, module in (components | self.branch).items()
        }


def _has_branch(directory: Path, config: Mapping[str, Any]) -> bool:
    """Whether weights hold the CTC branch that config.yaml describes, as far as is known here."""
    file = directory / WEIGHTS
    if file.exists():
        return ctc_branch.OUTPUT in read_weights(file)
    return bool(config.get(BRANCH_IN_FILE, True))


def checkpoint_bytes(directory: Path, parameters: int, learned: Collection[str]) -> int:
    """Of model.pt, whose tensors keep the types that they have in the base until they learn.

    The published language model is in bf16; what has learned is in float32. What adapters have
    changed is too, but is little of it.
    """
    weights = directory / WEIGHTS
    if weights.exists():
        base = weights.stat().st_size
    elif parameters == fun_asr_nano_2512.PARAMETERS:
        has_branch = _has_branch(directory, read_config(directory))
        base = fun_asr_nano_2512.FILE_BYTES["modelscope" if has_branch else "huggingface"]
    else:
        base = 4 * parameters
    return max(base, 4 * parameters) if "llm" in learned else base


def _ctc_branch(config: Mapping[str, Any]) -> dict[str, nn.Module]:
    if not config.get("ctc_decoder"):
        return {}
    decoder = tables.adaptor_classes[config["ctc_decoder"]](**config["ctc_decoder_conf"])
    width = config["ctc_decoder_conf"]["llm_dim"]
    odim = config.get("ctc_vocab_size", CTC_TOKENS)
    return {"ctc_decoder": decoder, "ctc": CTC(odim=odim, encoder_output_size=width)}


@contextlib.contextmanager
def fakeable(text_tokens: int) -> Iterator[None]:
    """As `memory.fakeable`, also what is Fun-ASR-Nano's own."""

    def ctc_loss(model: Model, encoded: torch.Tensor, lengths: torch.Tensor, _: Any) -> Any:
        logits = (
            model.ctc_head(encoded)
            if model.ctc_head
            else model.ctc.ctc_lo(model.ctc_decoder(encoded, lengths)[0])
        )
        return logits.float().log_softmax(-1).mean()

    with (
        memory.fakeable(Model, text_tokens),
        mock.patch.object(Model, "is_on_gpu", new=True),
        mock.patch.object(Model, "_ctc_loss", ctc_loss),
        mock.patch(
            "funasr.models.llm_asr.adaptor.make_pad_mask",
            lambda lengths: torch.zeros(len(lengths), 1, dtype=torch.bool),
        ),
    ):
        yield
