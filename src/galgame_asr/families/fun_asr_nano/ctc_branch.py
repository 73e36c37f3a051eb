"""Whether a checkpoint has a CTC branch for timestamps, and whether it knows anything.

Of the published model, the file on ModelScope has a trained one and that on the Hugging
Face hub none. FunASR's trainer fills what is missing with random weights, and saves them.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from galgame_asr.families.common.params import CtcBranch
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import ConfigError

OUTPUT = "ctc.ctc_lo.weight"  # a row for each of its tokens
# In the folder of the Hugging Face hub's cache that FunASR trains from.
WITHOUT_BRANCH = "models--FunAudioLLM--Fun-ASR-Nano-2512"
# Share of chance from which a CTC loss tells of no training. Branches of the published size with
# random weights had 0.95 to 1.02 of it, with 300 tokens and with 60,515; a small one is below
# after 40 steps (tests).
RANDOM = 0.75


def refuse(
    directory: Path, config: Mapping[str, Any], saved: Mapping[str, torch.Tensor], branch: CtcBranch
) -> None:
    """Refuse a branch that a model directory does not have; say if it looks like a random one.

    Raises:
        ConfigError: its tensors are not there, or config.yaml describes none; the message
            names the remedies.
    """
    if branch == "published" and OUTPUT not in saved:
        raise ConfigError(
            f"ctc_weight trains the CTC branch of {directory}, and its weights hold none. Set "
            "ctc: new in the phase to train a new one, which its checkpoints then hold; start "
            "from a base that has it (of FunAudioLLM/Fun-ASR-Nano-2512: base.existing.hub.source: "
            "modelscope; the Hugging Face hub's file lacks it); or set ctc_weight to 0"
        )
    if not config.get("ctc_decoder"):
        raise ConfigError(
            f"{directory}/config.yaml describes no CTC branch, which ctc_weight trains: "
            "ctc_decoder, ctc_decoder_conf, ctc_vocab_size and ctc_tokenizer, as the published "
            "model has them. Add them, or set ctc_weight to 0"
        )
    if branch == "published":
        say_if_given_away(directory)


def say_if_given_away(directory: Path) -> None:
    """Say that the branch of a model directory is random, where its config.yaml tells so."""
    if WITHOUT_BRANCH in (directory / "config.yaml").read_text("utf-8"):
        log.warning(
            "%s/config.yaml: FunASR trained this from the Hugging Face hub's file, which has no "
            "CTC branch; unless one was trained since (ctc: new), its weights are random",
            directory,
        )


def chance(lengths: torch.Tensor, texts: Sequence[torch.Tensor], vocabulary: int) -> float:
    """CTC loss of a branch that finds all tokens equally probable in every frame.

    Args:
        lengths: frames (B,).
        texts: the tokens of each utterance.
        vocabulary: number of tokens, the blank included.
    """
    # A few columns stand for all, as they are equal.
    tokens, numbers = torch.unique(torch.cat(list(texts)), return_inverse=True)
    shape = (int(lengths.max()), len(lengths), len(tokens) + 1)
    return float(
        nn.functional.ctc_loss(
            torch.full(shape, -math.log(vocabulary)),
            numbers.cpu(),
            lengths.cpu().long(),
            torch.tensor([len(text) for text in texts]),
            blank=len(tokens),
            reduction="sum",
            zero_infinity=True,
        )
    )


def say_if_random(loss: float, chance: float, effect: str) -> None:
    """Say that a branch was never trained, where its loss is about that of chance.

    Args:
        loss: of a batch.
        chance: what `chance` gives for it.
        effect: what follows from it.
    """
    if chance and loss > RANDOM * chance:
        log.warning(
            "the CTC branch knows no speech: its loss is %.1f at first, where chance has %.1f. Its "
            "weights are random, as FunASR's trainer leaves them where it starts from a file that "
            "has none; %s; base.existing.hub.source: modelscope has a trained branch",
            loss, chance, effect,
        )  # fmt: skip
