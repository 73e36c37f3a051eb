"""How labels fit the speech, by the CTC branch.

Shapes: B utterances, T encoder frames.
"""

from collections.abc import Sequence

import torch
from torch import nn

from galgame_asr.families.common.transcript import LabelFit
from galgame_asr.families.fun_asr_nano.network import Model

FRAME_S = 0.01  # of the filter banks
# Of a label that has more tokens than there are frames, and of any that is less probable.
LEAST = -100.0


def fits(
    model: Model,
    encoded: torch.Tensor,
    lengths: torch.Tensor,
    labels: Sequence[torch.Tensor],
    stacked: int,
) -> list[LabelFit]:
    """The fit of each label.

    Args:
        model: with its branch.
        encoded: encoder output (B, T, encoder dim).
        lengths: its real frames (B,).
        labels: the branch's tokens of each label.
        stacked: frames of the filter banks in a step of the encoder.
    """
    log_probs = model.ctc_log_probs(encoded, lengths)
    counts = torch.tensor([len(label) for label in labels], device=lengths.device)
    losses = nn.functional.ctc_loss(
        log_probs.transpose(0, 1),
        torch.cat(list(labels)).to(log_probs.device),
        lengths.long(),
        counts,
        blank=model.ctc_blank,
        reduction="none",
    )
    if model.ctc_unproven:
        effect = "what it says of labels means nothing"
        model.prove(losses[losses.isfinite()].sum(), lengths, labels, effect)
    by_token = (-losses / counts.clamp(min=1)).clamp(min=LEAST).tolist()
    is_token = (log_probs.argmax(-1) != model.ctc_blank).cpu()
    step_s = stacked * FRAME_S
    found = []
    for log_prob, heard, length in zip(by_token, is_token, lengths.tolist(), strict=True):
        places = heard[:length].nonzero()[:, 0].tolist() or [length]
        tail = max(length - 1 - places[-1], 0)
        found.append(LabelFit(log_prob, places[0] * step_s, tail * step_s))
    return found
