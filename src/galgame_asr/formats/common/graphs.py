"""The network of Fun-ASR-Nano in parts that can be traced, for one utterance at a time.

Built of the checkpoint's own modules; no dimension is fixed. Shapes: N frames of filter
banks, M mel bands, T frames of features, H width of the language model, S tokens of a pass,
P tokens before it, C rows of a cache, K heads of keys and values, D width of a head.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.cache_utils import Cache, DynamicLayer

from galgame_asr.families.fun_asr_nano.network import Model


class Hearing(nn.Module):
    """Filter banks (1, N, M) to what the language model hears of them (1, frames, H).

    Stacks `lfr_m` frames every `lfr_n` as funasr.frontends.wav_frontend.apply_lfr does, and
    keeps as many adaptor frames as the checkpoint was trained with: with
    `use_low_frame_rate` ceil(T/8), as in FunASRNano.data_load_speech.
    """

    def __init__(self, model: Model, *, lfr_m: int, lfr_n: int) -> None:
        super().__init__()
        self.encoder, self.adaptor = model.audio_encoder, model.audio_adaptor
        self.low_frame_rate: bool = model.use_low_frame_rate
        self.lfr_m, self.lfr_n = lfr_m, lfr_n

    def forward(self, banks: torch.Tensor) -> torch.Tensor:
        """See the class."""
        features = self._stack(banks)
        heard = adapt(self.adaptor, self._encode(features))
        count = features.shape[1]
        if self.low_frame_rate:
            count = (count + 7) // 8
        # Beyond its end the last frame is repeated, as `Model.embed` does.
        index = torch.arange(count).clamp(max=heard.shape[1] - 1)
        return heard[:, index]

    def _stack(self, banks: torch.Tensor) -> torch.Tensor:
        """(1, N, M) to (1, T, lfr_m * M), the first and the last frame repeated at the ends."""
        count = (banks.shape[1] + self.lfr_n - 1) // self.lfr_n
        before = banks[:, :1].expand(-1, (self.lfr_m - 1) // 2, -1)
        after = banks[:, -1:].expand(-1, self.lfr_m, -1)  # at least as many as are needed
        padded = torch.cat([before, banks, after], dim=1)
        end = self.lfr_n * count
        shifted = [padded[:, i : i + end : self.lfr_n][:, :count] for i in range(self.lfr_m)]
        return torch.cat(shifted, dim=2)

    def _encode(self, features: torch.Tensor) -> torch.Tensor:
        """As SenseVoiceEncoderSmall.forward, without its masks and changes in place."""
        encoder = self.encoder
        return through_layers(encoder, encoder.embed(features * encoder.output_size() ** 0.5))


def through_layers(
    encoder: Any, embedded: torch.Tensor, real: torch.Tensor | None = None
) -> torch.Tensor:
    """The layers of SenseVoiceEncoderSmall.forward, without its changes in place.

    Args:
        encoder: the checkpoint's.
        embedded: features with their positions (1, T, D of features).
        real: 1 where they are no padding (1, 1, T); None: all of them.
    """
    hidden = embedded
    for layer in [*encoder.encoders0, *encoder.encoders]:
        hidden = layer(hidden, real)[0]
    hidden = encoder.after_norm(hidden)
    for layer in encoder.tp_encoders:
        hidden = layer(hidden, real)[0]
    normed: torch.Tensor = encoder.tp_norm(hidden)
    return normed


def adapt(adaptor: Any, encoded: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
    """As funasr.models.llm_asr.adaptor.Transformer.forward: (1, ceil(T / k), H).

    Args:
        adaptor: the checkpoint's, which stacks k frames.
        encoded: encoder output (1, T, D).
        real: as for `through_layers`; of a stack its first frame decides.
    """
    rate = adaptor.k
    if rate > 1:
        encoded = functional.pad(encoded, (0, 0, 0, rate - 1))
        encoded = encoded[:, : encoded.shape[1] // rate * rate]
        encoded = encoded.reshape(1, -1, rate * encoded.shape[2])
    hidden: torch.Tensor = adaptor.linear2(adaptor.relu(adaptor.linear1(encoded)))
    if real is not None:
        real = real[:, :, ::rate]
    for block in adaptor.blocks or []:
        hidden = block(hidden, real)[0]
    return hidden


class Saying(nn.Module):
    """The language model, with a cache of C rows that the runtime keeps and writes to.

    Positions, and which rows of the cache count, are told by the attention mask, not by
    `cache_position`: sherpa-onnx (2.0.1, offline-recognizer-funasr-nano-impl.cc) leaves one
    row after the prompt unwritten, with 0 in the mask. A runtime without that hole gets the same.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.core, self.head = model.llm.model, model.llm.lm_head
        # The one whose masks are added, and that is plain operators in a graph.
        self.core.set_attn_implementation("eager")

    def forward(
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor,
        cache_position: torch.Tensor,
        *cache: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """One pass.

        Args:
            inputs_embeds: (1, S, H).
            attention_mask: 1 where there is a token (1, P + S); the last S are the new ones.
            cache_position: rows of the cache for the new ones, P to P + S - 1 (S,).
            cache: keys and values of each layer in turn, each (1, C, K, D).

        Returns:
            logits of the last token (1, 1, vocabulary); keys and values of the new ones for
            each layer in turn, each (1, S, K, D).
        """
        layers = [
            _Appended(keys.transpose(1, 2), values.transpose(1, 2))
            for keys, values in zip(cache[::2], cache[1::2], strict=True)
        ]
        hidden = self.core(
            inputs_embeds=inputs_embeds,
            attention_mask=_bias(attention_mask, cache_position, cache[0].shape[1]),
            position_ids=(attention_mask.cumsum(1) - 1)[:, -inputs_embeds.shape[1] :],
            past_key_values=Cache(layers=list(layers)),
            use_cache=True,
        ).last_hidden_state
        new = [part.transpose(1, 2) for layer in layers for part in layer.new]
        return (self.head(hidden[:, -1:]), *new)


def _bias(
    attention_mask: torch.Tensor, cache_position: torch.Tensor, capacity: int
) -> torch.Tensor:
    """What is added to attention scores: (1, 1, S, C + S), 0 or a very negative number."""
    rows = functional.pad(attention_mask, (0, capacity))[:, :capacity]
    written = (torch.arange(capacity) < cache_position[0]) & (rows[0] > 0)
    earlier = written[None].expand(cache_position.shape[0], -1)
    causal = cache_position[None] <= cache_position[:, None]
    allowed = torch.cat([earlier, causal], dim=1)
    return torch.where(allowed, 0.0, -1e9)[None, None]


class _Appended(DynamicLayer):  # type: ignore[no-untyped-call]
    """Given keys and values (1, K, C, D) with the new ones after them; `new` has those alone."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values, self.is_initialized = keys, values, True
        self.new: tuple[torch.Tensor, ...] = ()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep the new ones; nothing is written."""
        self.new = (key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        return (
            torch.cat([self.keys, key_states], dim=2),
            torch.cat([self.values, value_states], dim=2),
        )


def cache_shape(model: Model, capacity: int) -> tuple[int, int, int, int]:
    """Of the keys, or values, of a layer: (1, C, K, D)."""
    config = model.llm.config
    return (1, capacity, config.num_key_value_heads, config.head_dim)
