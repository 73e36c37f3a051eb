"""How long training steps take, as far as it was measured: Fun-ASR-Nano-2512 on one H100.

A step of some 4,000 frames is bound by Python, which launches thousands of kernels, and not by
the card: its time is that of the launches until there are so many frames that theirs is longer.
Figures of EXPERIMENTS.md, 2026-11-26: on an H100 (80 GB, torch 2.11, bf16, utterances of 5.1 s).
"""

from galgame_asr.base import fun_asr_nano_2512
from galgame_asr.families.common.compute import Precision
from galgame_asr.training.params import CommonParams, TrainingParams

# A step of 16,000 frames took an H100 no longer than one of 4,000: larger ones win nothing.
ENOUGH_FRAMES = 16_000
CARD, SOURCE = "H100 80 GB", "EXPERIMENTS.md, 2026-11-26"
# By the last part that learns; seconds of a step of 4,000 frames, before the loop and the language
# model lost launches that they could do without. `llm`: the middle of 389 to 488 ms.
LAUNCH_S = {"llm": 0.440, "encoder": 0.292, "adaptor": 0.182}
# A step of phase full with 16,000 frames took 389 ms; a phase in which less learns does less.
FRAME_S = 0.389 / 16_000


def step_s(
    params: TrainingParams,
    common: CommonParams,
    precision: Precision,
    parameters: int,
    frames: int,
) -> float | None:
    """Seconds of a step on one card; None where nothing like it was measured.

    Args:
        params: the phase.
        common: what all phases share.
        precision: what it computes in.
        parameters: of the model, without a CTC branch.
        frames: of the step.
    """  # fmt: skip
    changed = params.lora or params.ctc_weight or common.activation_checkpointing
    if parameters != fun_asr_nano_2512.PARAMETERS or changed or precision != "bf16":
        return None
    last = next((part for part in LAUNCH_S if not params.freeze.get(part, True)), None)
    return max(LAUNCH_S[last], frames * FRAME_S) if last else None
