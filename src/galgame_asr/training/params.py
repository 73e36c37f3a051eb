"""Section `train`: the curriculum, phase by phase."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from galgame_asr.core.params import section
from galgame_asr.families.common.params import CtcBranch, Prompt

Percent = Annotated[int, Field(ge=1, le=100)]
Speed = Annotated[float, Field(gt=0.5, lt=2)]
Weight = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]


@section
class CommonParams:
    """What all phases share."""

    # Order of the data, dropout and new weights.
    seed: int
    # 10 ms feature frames of an optimizer step, about: without padding, and whatever it is
    # divided into (section `machine`).
    batch_frames: Annotated[int, Field(ge=1)]
    # Utterances sorted by length together before they are cut into steps.
    sort_window: Annotated[int, Field(ge=1)]
    # The learning rate after its warm-up: falls along a cosine or a line, or stays.
    schedule: Literal["cosine", "linear", "constant"]
    # Share of a phase's steps in which the learning rate rises from 0.
    warmup: Annotated[float, Field(ge=0, lt=1)]
    adam_betas: tuple[float, float]
    weight_decay: Annotated[float, Field(ge=0)]
    # Largest norm of the gradient; longer ones are scaled down to it.
    max_grad_norm: Annotated[float, Field(gt=0)]
    # Steps between two rows of log.tsv.
    log_steps: Annotated[int, Field(ge=1)]
    # Dev utterances that are decoded, too, each time the dev set is scored: dev_cer in dev.tsv.
    # 0: none. The same ones in every phase; greedily, with the phase's last prompt.
    dev_cer_utterances: Annotated[int, Field(ge=0)]
    # Share of the utterances that may turn out to be unusable (undecodable, shorter than a
    # frame, of another length than announced) before a phase stops; left_out.tsv names them.
    max_left_out: Annotated[float, Field(ge=0, le=1)]
    # Compute the activations inside each layer again for the gradient instead of keeping
    # them: far less memory, a third more time.
    activation_checkpointing: bool


@section
class NoiseParams:
    """Music and noise mixed into training speech: clips of the mix's corpora without speech."""

    # Share of the utterances that get some, drawn anew in each epoch.
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    # Decibels by which the speech is louder, over the whole utterance, drawn evenly between these.
    snr_db: tuple[float, float] = (5.0, 20.0)

    @model_validator(mode="after")
    def _snr_is_a_range(self) -> "NoiseParams":
        if self.snr_db[0] > self.snr_db[1]:
            raise ValueError(f"snr_db must rise; it is {self.snr_db[0]:g} to {self.snr_db[1]:g}")
        return self


@section
class AugmentParams:
    """Changes of the training speech, drawn anew for each utterance and epoch."""

    # Speed perturbation (Ko et al. 2015): one of these, equally often; 0.9 is slower. The
    # pitch follows.
    speeds: Annotated[tuple[Speed, ...], Field(min_length=1)] = (1.0,)
    # SpecAugment (Park et al. 2019): how many bands, each of at most so many of the 80 mels,
    # and how many stretches, each of at most this share of the utterance, become the mean.
    mel_masks: Annotated[int, Field(ge=0)] = 0
    mel_width: Annotated[int, Field(ge=1, le=80)] = 27
    time_masks: Annotated[int, Field(ge=0)] = 0
    time_share: Annotated[float, Field(gt=0, le=1)] = 0.05
    # null: none.
    noise: NoiseParams | None = None


@section
class LoraParams:
    """Low-rank adapters of frozen parts, folded into them in every checkpoint."""

    rank: Annotated[int, Field(ge=1)]
    # The update is scaled by alpha / rank.
    alpha: Annotated[int, Field(ge=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    # Names of the linear layers that get one.
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("q_proj", "v_proj")
    # Also learn the length of each row of the weights by itself (DoRA, Liu et al. 2024).
    dora: bool = False
    # Parts of the model that get them, all frozen; null: Fun-ASR-Nano's llm, or what is
    # frozen of Whisper.
    parts: tuple[str, ...] | None = None


@section
class EarlyStoppingParams:
    """End a phase that no longer improves on the dev set; its best weights become p100."""

    # Score the dev set at every such percentage of the phase.
    every: Percent
    # Stop after so many scores in a row that are not better than the best.
    patience: Annotated[int, Field(ge=1)]
    # What decides which is better: the dev loss, or the CER (train.common.dev_cer_utterances).
    by: Literal["dev_loss", "dev_cer"] = "dev_loss"


@section
class TrainingParams:
    """What learns, how fast, and from which data."""

    # true keeps a part of the model as it is; every part of the family must be named.
    freeze: dict[str, bool]
    # Highest learning rate, or one for each part that learns: {encoder: 1.0e-5, llm: 5.0e-6}.
    lr: Rate | dict[str, Rate]
    epochs: Annotated[int, Field(ge=1)]
    # Share of each corpus per epoch: 0.1 is within 0.2, 2 repeats. Of a corpus without speech, the
    # share that trains to an empty text; 0 for augment.noise alone.
    mix: Annotated[dict[str, Weight], Field(min_length=1)]
    # What the model is told; with several, each utterance draws one per epoch.
    prompts: Annotated[tuple[Prompt, ...], Field(min_length=1)]
    # Weight of an auxiliary CTC loss on the encoder. In a phase it trains the branch for
    # timestamps (see `ctc`), which 0 leaves as it is; while a base is built from random weights,
    # a head that helps the encoder and is no part of the model.
    ctc_weight: Annotated[float, Field(ge=0)] = 0.0
    # null: none. Adapters learn in parts that freeze keeps as they are.
    lora: LoraParams | None = None
    # null: none.
    augment: AugmentParams | None = None
    # null: every phase runs to its end.
    early_stopping: EarlyStoppingParams | None = None


@section
class PhaseParams(TrainingParams):
    """One phase of the curriculum."""

    # The checkpoint it starts from: base, or PHASE/pNN.
    init: str
    # Save a checkpoint and score the dev set at these percentages: models/PHASE/pNN.
    checkpoints: Annotated[tuple[Percent, ...], Field(min_length=1)]
    # And each so many steps: models/PHASE/sN after step N.
    every_steps: Annotated[int, Field(ge=1)] | None = None
    # The branch for timestamps that ctc_weight trains: that of the checkpoint (published), or
    # one with new weights in its place (new). Checkpoints hold either.
    ctc: CtcBranch = "published"

    @model_validator(mode="after")
    def _last_is_the_end(self) -> "PhaseParams":
        if sorted(set(self.checkpoints)) != list(self.checkpoints) or self.checkpoints[-1] != 100:
            raise ValueError("checkpoints must rise and end with 100, where the next phase starts")
        return self

    @model_validator(mode="after")
    def _a_new_branch_learns(self) -> "PhaseParams":
        if self.ctc == "new" and not self.ctc_weight:
            raise ValueError("ctc is new, and only a ctc_weight above 0 trains a branch")
        return self
