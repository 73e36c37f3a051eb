"""The hearing half of Fun-ASR-Nano as CapsWriter-Offline runs it: graphs with a mask.

Built of the checkpoint's own modules; no dimension is fixed. Shapes: T frames of features,
some of them padding at the end; D width of the encoder, H of the language model; V tokens of
the CTC branch, blank included; k frames that the adaptor stacks (`downsample_rate`).
"""

import torch
from torch import nn

from galgame_asr.families.fun_asr_nano.network import Model
from galgame_asr.formats.common.graphs import adapt, through_layers

# Candidates for each frame, as CapsWriter's own export gives them.
CANDIDATES = 30
# Log probability of everything but the blank where there is no speech; float16 has it.
NEVER = -1e4


class MaskedHearing(nn.Module):
    """Encoder and adaptor; padding changes nothing of what is heard before it."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.encoder, self.adaptor = model.audio_encoder, model.audio_adaptor

    def forward(
        self, lfr_feat: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As SenseVoiceEncoderSmall.forward and funasr.models.llm_asr.adaptor.Transformer.forward.

        Args:
            lfr_feat: features (1, T, 560).
            mask: 1.0 where they are real, 0.0 where they are padding (1, T).

        Returns:
            encoder output (1, T, D), zero at padding; adaptor output (1, ceil(T / k), H).
        """
        encoder, real = self.encoder, mask[:, None]
        # Positions are float32 always: float16 has three digits, too few for the sine of a
        # late one.
        frames = torch.arange(1, lfr_feat.shape[1] + 1)[None]
        places = encoder.embed.encode(frames, lfr_feat.shape[2], torch.float32)
        embedded = lfr_feat * encoder.output_size() ** 0.5 + places.to(lfr_feat.dtype)
        encoded = through_layers(encoder, embedded, real) * mask[:, :, None]
        return encoded, adapt(self.adaptor, encoded, real)


class Candidates(nn.Module):
    """The CTC branch: the most probable tokens of each frame.

    CapsWriter gives it no mask. Padding is known by the zeros that `MaskedHearing` leaves
    there, and has no token but the blank.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.decoder, self.head = model.ctc_decoder, model.ctc.ctc_lo
        tokens = self.head.out_features
        self.count = min(CANDIDATES, tokens)
        silence = torch.full((tokens,), NEVER)
        silence[model.ctc_blank] = 0.0
        self.silence: torch.Tensor
        self.register_buffer("silence", silence)

    def forward(self, enc_output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `Model._ctc_loss` computes probabilities.

        Args:
            enc_output: encoder output (1, T, D).

        Returns:
            log probabilities, the largest first, and their tokens as int32: (1, T, 30) each.
        """
        real = enc_output.abs().amax(dim=2) > 0
        hidden = self.decoder.linear2(self.decoder.relu(self.decoder.linear1(enc_output)))
        for block in self.decoder.blocks or []:
            hidden = block(hidden, real[:, None].to(hidden.dtype))[0]
        logits = torch.where(real[:, :, None], self.head(hidden), self.silence)
        values, indices = logits.log_softmax(-1).topk(self.count)
        return values, indices.to(torch.int32)
