"""The network of Fun-ASR-Nano: funasr's own class, made fit for training.

Shapes: B utterances, T feature frames, D features, S tokens of a row (instruction,
speech and text), P tokens of the instruction that all rows begin with.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache, DynamicLayer

from galgame_asr.families.fun_asr_nano import ctc_branch
from galgame_asr.families.fun_asr_nano.funasr_parts import CTC, FunASRNano, tables
from galgame_asr.messages.errors import CheckpointError

IGNORED = -100  # label of a position without loss, as in torch and transformers
# Prefix of a training-only head.
CTC_HEAD = "ctc_head."
# Prefixes of the published branch for timestamps.
CTC_BRANCH = ("ctc_decoder.", "ctc.")
# Its tokens where nothing says how many; the default of funasr.models.fun_asr_nano.model.
CTC_TOKENS = 60_515
# Computing the instruction once for all rows must save at least so many positions times
# their width: it is one more pass through the language model, which in a tiny one costs
# more than it saves. On a GPU, launching a pass that learns costs more in any: 0.1 s of an
# H100's step of 0.4 s (EXPERIMENTS.md), to save a hundredth.
MIN_SHARED = 2**15


class Model(FunASRNano):  # type: ignore[misc]
    """funasr's class with the same parameters and results, and these changes.

    - Padded encoder frames are zeroed: an adaptor that stacks frames
      (`downsample_rate` above 1) would mix them into the last real ones.
    - Frozen parts stay in eval mode while the rest trains.
    - Logits are computed at label positions only.
    - The instruction that all rows of a batch begin with goes through the language
      model once, not once per row, where that saves time.
    - Inputs are not changed in place, so that activations can be recomputed.
    - A CTC loss can be added: on the branch for timestamps, which upstream configures but
      never trains, or on a head that is not saved.
    """

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.ctc_head: nn.Linear | None = None
        self.ctc_blank = 0
        self.ctc_weight = 0.0
        # Whether it is still to be seen that the branch knows something.
        self.ctc_unproven = False
        self._instructions: dict[Any, list[_Recorded]] = {}

    def encode(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode features (B, T, D) to (B, T, encoder dim), zero beyond each length."""
        # The encoder scales its input in place.
        encoded, lengths = super().encode(speech.clone(), speech_lengths)
        real = torch.arange(encoded.shape[1], device=encoded.device) < lengths[:, None]
        return encoded * real[..., None].to(encoded.dtype), lengths

    def train(self, mode: bool = True) -> "Model":
        """Set training mode, except for parts whose parameters are all frozen."""
        super().train(mode)
        for part in (self.audio_encoder, self.audio_adaptor, self.llm):
            if not any(p.requires_grad for p in part.parameters()):
                part.eval()
        return self

    def embed(
        self,
        encoded: torch.Tensor,
        lengths: torch.Tensor,
        input_ids: torch.Tensor,
        fbank_beg: torch.Tensor,
        fake_token_len: torch.Tensor,
    ) -> torch.Tensor:
        """Embed tokens with speech in its place: (B, S, LLM dim).

        Args:
            encoded: encoder output (B, T, encoder dim).
            lengths: its real frames (B,).
            input_ids: tokens (B, S).
            fbank_beg: position of the first speech frame among the tokens (B,).
            fake_token_len: number of speech positions (B,).
        """
        heard, _ = self.audio_adaptor(encoded, lengths)
        embeddings = self.llm.get_input_embeddings()(input_ids)
        frame = torch.arange(input_ids.shape[1], device=input_ids.device) - fbank_beg[:, None]
        is_speech = (frame >= 0) & (frame < fake_token_len[:, None])
        index = frame.clamp(0, heard.shape[1] - 1)[..., None].expand(-1, -1, heard.shape[2])
        speech_embeddings = heard.gather(1, index).to(embeddings.dtype)
        return torch.where(is_speech[..., None], speech_embeddings, embeddings)

    def forward(  # noqa: PLR0913, PLR0917  funasr's arguments, and three of ours
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels_ids: torch.Tensor,
        fbank_beg: torch.Tensor,
        fake_token_len: torch.Tensor,
        instruction: Sequence[int] = (),
        encoded: torch.Tensor | None = None,
        ctc_labels: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Mean cross entropy over label tokens; a CTC loss is divided by as many.

        Args:
            speech: features (B, T, D); see `training_batch` for this and the others.
            speech_lengths: real frames (B,).
            input_ids: tokens (B, S).
            attention_mask: 1 for real tokens (B, S).
            labels_ids: tokens to predict, `IGNORED` elsewhere (B, S).
            fbank_beg: as in `embed`.
            fake_token_len: as in `embed`.
            instruction: the P tokens that all rows begin with; none of them is a label.
            encoded: what `encode` gave for this batch earlier, if it is known.
            ctc_labels: tokens for the CTC loss (B, L), `IGNORED` beyond their ends.
        """
        lengths = speech_lengths
        if encoded is None:
            encoded, lengths = self.encode(speech, speech_lengths)
        embeddings = self.embed(encoded, lengths, input_ids, fbank_beg, fake_token_len)
        saved = len(instruction) * (len(input_ids) - 1) * embeddings.shape[-1]
        if saved < MIN_SHARED or (self.is_on_gpu and self._llm_learns()):
            instruction = ()
        hidden = self._hidden(embeddings, attention_mask, instruction)
        # The state at a position predicts the next token.
        states, targets = self._at_labels(hidden[:, :-1], labels_ids[:, len(instruction) + 1 :])
        logits = self.llm.lm_head(states)
        loss = nn.functional.cross_entropy(logits.float(), targets)
        if ctc_labels is not None:
            ctc_loss = self._ctc_loss(encoded, lengths, ctc_labels)
            if self.ctc_unproven:
                texts = [row[row != IGNORED] for row in ctc_labels]
                effect = "it learns from here on, and ctc: new says the same of a phase"
                self.prove(ctc_loss.detach(), lengths, texts, effect)
            loss = loss + self.ctc_weight * ctc_loss / len(targets)
        return {"loss": loss}

    @property
    def is_on_gpu(self) -> bool:
        """Whether it computes on a GPU."""
        return bool(self.llm.get_input_embeddings().weight.is_cuda)

    def _llm_learns(self) -> bool:
        return any(p.requires_grad for p in self.llm.parameters())

    def _at_labels(
        self, hidden: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """States (N, LLM dim) and tokens (N,) at the positions that have a label."""
        is_label = targets != IGNORED
        return hidden[is_label], targets[is_label]

    def _hidden(
        self, embeddings: torch.Tensor, attention_mask: torch.Tensor, instruction: Sequence[int]
    ) -> torch.Tensor:
        """Last hidden states after the instruction: (B, S - P, LLM dim)."""
        cache = None
        if instruction:
            layers = self._instruction(instruction, embeddings)
            cache = Cache(layers=[_Shared(layer) for layer in layers])
        hidden: torch.Tensor = self.llm.model(
            inputs_embeds=embeddings[:, len(instruction) :],
            attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=False,
        ).last_hidden_state
        return hidden

    def _instruction(self, tokens: Sequence[int], embeddings: torch.Tensor) -> "list[_Recorded]":
        """Keys and values of tokens in each layer; kept while nothing can change them.

        `embeddings` (B, S, LLM dim) begin with those of the tokens.
        """
        device = embeddings.device
        autocast = torch.is_autocast_enabled(device.type)
        key = (*tokens, autocast and torch.get_autocast_dtype(device.type), device)
        if key in self._instructions:
            return self._instructions[key]
        own = embeddings[:1, : len(tokens)]
        fixed = not self._llm_learns()
        layers = [_Recorded() for _ in self.llm.model.layers]  # type: ignore[no-untyped-call]
        self.llm.model(
            # Where nothing learns, gradients through them would be zero all the same.
            inputs_embeds=own.detach() if fixed else own,
            past_key_values=Cache(layers=list(layers)),
            use_cache=True,
        )
        if fixed:
            self._instructions[key] = layers
        return layers

    def add_ctc_branch(
        self, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor] | None, weight: float
    ) -> None:
        """Take a branch for timestamps into the model, to be trained with `weight`.

        Built as in FunASRNano.__init__, with its tensors from the checkpoint; None: new ones.

        Raises:
            CheckpointError: tensors are missing or of another shape.
        """
        if tensors:
            vocabulary, width = tensors[ctc_branch.OUTPUT].shape
        else:
            vocabulary = config.get("ctc_vocab_size", CTC_TOKENS)
            width = config["ctc_decoder_conf"]["llm_dim"]
        decoder = tables.adaptor_classes[config["ctc_decoder"]]
        encoder_dim = self.audio_encoder.output_size()
        self.ctc_decoder = decoder(**config["ctc_decoder_conf"] | {"encoder_dim": encoder_dim})
        self.ctc = CTC(odim=vocabulary, encoder_output_size=width)
        if tensors:
            self._load_ctc_branch(tensors)
        self.ctc_unproven = tensors is not None
        self.ctc_blank = config.get("ctc_conf", {}).get("blank_id", vocabulary - 1)
        self.ctc_weight = weight

    def _load_ctc_branch(self, tensors: Mapping[str, torch.Tensor]) -> None:
        for name in CTC_BRANCH:
            part = {k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)}
            try:
                getattr(self, name.removesuffix(".")).load_state_dict(part)
            except RuntimeError as error:
                found = " ".join(str(error).split())
                raise CheckpointError(
                    f"the CTC branch is none that config.yaml describes: {found} ctc: new trains "
                    "one in its place"
                ) from None

    def add_ctc_head(self, weight: float) -> None:
        """Add a linear CTC head over the language model's tokens; it is not saved."""
        self.ctc_head = nn.Linear(self.audio_encoder.output_size(), self.llm.config.vocab_size)
        # The pad token, which no text has, is the blank.
        self.ctc_blank = self.llm.config.pad_token_id
        self.ctc_weight = weight

    def ctc_log_probs(self, encoded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Log probabilities (B, T, CTC tokens) of each frame, by the branch or head that was added.

        Args:
            encoded: encoder output (B, T, encoder dim).
            lengths: its real frames (B,).
        """
        if self.ctc_head is not None:
            logits = self.ctc_head(encoded)
        else:
            logits = self.ctc.ctc_lo(self.ctc_decoder(encoded, lengths)[0])
        log_probs: torch.Tensor = logits.float().log_softmax(-1)
        return log_probs

    def prove(
        self,
        loss: torch.Tensor,
        lengths: torch.Tensor,
        texts: Sequence[torch.Tensor],
        effect: str,
    ) -> None:
        """See by a first batch whether the branch of the checkpoint knows anything; say if not.

        Args:
            loss: CTC loss of the batch, summed.
            lengths: its real frames (B,).
            texts: the tokens of each label.
            effect: what follows if it does not.
        """
        chance = ctc_branch.chance(lengths, texts, self.ctc.ctc_lo.out_features)
        ctc_branch.say_if_random(float(loss), chance, effect)
        self.ctc_unproven = False

    def _ctc_loss(
        self, encoded: torch.Tensor, lengths: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        is_label = labels != IGNORED
        return nn.functional.ctc_loss(
            self.ctc_log_probs(encoded, lengths).transpose(0, 1),
            labels[is_label],
            lengths.long(),
            is_label.sum(1),
            blank=self.ctc_blank,
            reduction="sum",
            zero_infinity=True,
        )


class _Recorded(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one pass; written again when activations are recomputed."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep and return them."""
        self.keys, self.values, self.is_initialized = key_states, value_states, True
        return key_states, value_states


class _Shared(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one row (1, heads, P, dim) that stand before those of every row."""

    def __init__(self, recorded: _Recorded) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values, self.is_initialized = recorded.keys, recorded.values, True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the shared ones before; nothing is kept, so a second call gives the same."""
        rows = len(key_states)
        assert self.keys is not None
        assert self.values is not None
        keys = torch.cat([self.keys.expand(rows, -1, -1, -1), key_states], dim=-2)
        values = torch.cat([self.values.expand(rows, -1, -1, -1), value_states], dim=-2)
        return keys, values
