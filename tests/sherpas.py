"""Very small models with random weights in the layouts that sherpa-onnx's recognisers read."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from galgame_asr.formats.common import onnx

SYMBOLS = ("<blk>", "<sos>", "<unk>", *"あいうえおかきくけこさしすせそたちつてと")
FILES = {
    "sense_voice": {"model": "model.onnx", "tokens": "tokens.txt"},
    "transducer": {
        **{part: f"{part}.onnx" for part in ("encoder", "decoder", "joiner")},
        "tokens": "tokens.txt",
    },
}
WIDTH = 16


class SenseVoice(nn.Module):
    """Stacked filter banks, a language and a kind of text to logits, four frames of marks first."""

    def __init__(self) -> None:
        super().__init__()
        self.marks, self.heard = nn.Embedding(16, 560), nn.Linear(560, WIDTH)
        self.out = nn.Linear(WIDTH, len(SYMBOLS), bias=False)
        with torch.no_grad():
            self.heard.weight *= 5

    def forward(self, x: torch.Tensor, length: Any, language: Any, text_norm: Any) -> torch.Tensor:
        """Logits (N, T + 4, symbols)."""
        told = self.marks(language) + self.marks(text_norm) + 0 * length[:, None]  # an input stays
        # The runtime leaves out the first four symbols, which are about language and feeling.
        marks = told[:, None] * torch.tensor([1.0, -1.0, 2.0, -2.0])[:, None]
        frames = torch.cat([marks, x + told[:, None]], dim=1)
        logits: torch.Tensor = self.out(torch.tanh(self.heard(frames)))
        return logits


class Encoder(nn.Module):
    """Filter banks to every fourth frame of the encoder's."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = nn.Conv1d(80, WIDTH, 4, stride=4)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, T / 4, width) and the lengths."""
        return self.heard(x.transpose(1, 2)).transpose(1, 2).tanh(), lengths // 4


class Joiner(nn.Module):
    """Both to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(WIDTH, len(SYMBOLS))

    def forward(self, heard: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
        """Logits (N, symbols)."""
        logits: torch.Tensor = self.out((heard + said).tanh())
        return logits


def build(directory: Path, recognizer: str, *, seed: int = 0) -> Path:
    """Write a model that says something else about other audio."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = (f"{symbol} {number}\n" for number, symbol in enumerate(SYMBOLS))
    (directory / "tokens.txt").write_text("".join(lines), encoding="utf-8")
    torch.manual_seed(seed)
    (_sense_voice if recognizer == "sense_voice" else _transducer)(directory)
    return directory


def _sense_voice(directory: Path) -> None:
    names = ("auto", "zh", "en", "yue", "ja", "ko")
    one = torch.ones(1, dtype=torch.int32)
    onnx.write(
        SenseVoice(),
        directory / "model.onnx",
        inputs={"x": torch.zeros(1, 9, 560), "x_length": one, "language": one, "text_norm": one},
        outputs=["logits"],
        axes={
            "x": {0: "N", 1: "T"}, "x_length": {0: "N"}, "language": {0: "N"},
            "text_norm": {0: "N"}, "logits": {0: "N", 1: "T4"},
        },
        metadata={
            "model_type": "sense_voice_ctc", "vocab_size": len(SYMBOLS), "version": 1,
            "lfr_window_size": 7, "lfr_window_shift": 6, "normalize_samples": 0,
            "with_itn": 14, "without_itn": 15,
            **{f"lang_{name}": number for number, name in enumerate(names)},
            "neg_mean": ",".join(["-17.0"] * 560), "inv_stddev": ",".join(["0.7"] * 560),
        },
    )  # fmt: skip


def _transducer(directory: Path) -> None:
    decoder = nn.Sequential(
        nn.Embedding(len(SYMBOLS), WIDTH), nn.Flatten(), nn.Linear(2 * WIDTH, WIDTH)
    )
    onnx.write(
        Encoder(),
        directory / "encoder.onnx",
        inputs={"x": torch.zeros(1, 40, 80), "x_lens": torch.tensor([40])},
        outputs=["encoder_out", "encoder_out_lens"],
        axes={
            "x": {0: "N", 1: "T"}, "x_lens": {0: "N"},
            "encoder_out": {0: "N", 1: "T4"}, "encoder_out_lens": {0: "N"},
        },
        metadata={"model_type": "zipformer2", "version": 1},
    )  # fmt: skip
    onnx.write(
        decoder,
        directory / "decoder.onnx",
        inputs={"y": torch.zeros(1, 2, dtype=torch.int64)},
        outputs=["decoder_out"],
        axes={"y": {0: "N"}, "decoder_out": {0: "N"}},
        metadata={"vocab_size": len(SYMBOLS), "context_size": 2},
    )
    onnx.write(
        Joiner(),
        directory / "joiner.onnx",
        inputs={"encoder_out": torch.zeros(1, WIDTH), "decoder_out": torch.zeros(1, WIDTH)},
        outputs=["logit"],
        axes={name: {0: "N"} for name in ("encoder_out", "decoder_out", "logit")},
        metadata={"joiner_dim": WIDTH},
    )
