"""Fun-ASR-Nano exported for CapsWriter-Offline 2.3 and newer, decoded from its files alone.

A directory holds two ONNX graphs, a GGUF file and tokens.txt. The graphs run in onnxruntime,
one utterance at a time, padded and cut as CapsWriter does it
(core/server/engines/fun_asr_gguf of https://github.com/HaujetZhao/CapsWriter-Offline); the
language model is read back from the GGUF file and runs in PyTorch.

CapsWriter itself does not run here: it computes features of its own and samples tokens at
random, so that it never says the same twice. What is shown is that its files are right: given
FunASR's features and the most probable tokens, they say what the checkpoint says.
"""

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import Qwen3ForCausalLM

from galgame_asr.families.fun_asr_nano import texts
from galgame_asr.families.fun_asr_nano.family import FunAsrNano, num_speech_tokens
from galgame_asr.families.fun_asr_nano.filter_banks import FilterBanks
from galgame_asr.families.fun_asr_nano.network import Model
from galgame_asr.messages.errors import CheckpointError, ExportError
from galgame_asr.runtimes.gguf_files import (
    FRONT_END,
    Reader,
    fill,
    llm_tensors,
    qwen3_config,
    read_tokenizer,
)
from galgame_asr.runtimes.onnx import Graph

WINDOW_S, DEFAULTS = None, texts.DEFAULTS
HEARING, CTC, LLM = (f"Fun-ASR-Nano-{part}" for part in ("Encoder-Adaptor", "CTC", "Decoder"))
TOKENS = "tokens.txt"
# Frames of features of a second, to which CapsWriter pads what is shorter.
LEAST_FRAMES = 18
FEATURES = {"n_mels": 80, "lfr_m": 7, "lfr_n": 6}


class FloatGraph(Graph):
    """A graph of the type that its name says, fp32 or fp16, which takes and gives float32."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.dtype = torch.float16 if ".fp16." in file.name else torch.float32

    def __call__(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """See `Graph`; all inputs are numbers of this type."""
        found = super().__call__(*(given.to(self.dtype) for given in inputs))
        return [one.float() if one.is_floating_point() else one for one in found]


class CapsWriterModel(nn.Module):
    """What `FunAsrNano` decodes with, its hearing half in onnxruntime on the CPU."""

    use_low_frame_rate = True
    get_prompt = Model.get_prompt

    def __init__(self, hearing: FloatGraph, llm: nn.Module) -> None:
        super().__init__()
        self.hearing, self.llm = hearing, llm

    def encode(
        self, speech: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (B, T, 560) to adaptor frames as the host cuts them, padded, and their number.

        Not the encoder's output, which nothing but the adaptor needs.
        """
        heard = []
        for features, length in zip(speech, lengths.tolist(), strict=True):
            _, adapted = run_hearing(self.hearing, features[:length])
            heard.append(adapted[0, : num_speech_tokens(length)])
        counts = torch.tensor([len(frames) for frames in heard], device=speech.device)
        return nn.utils.rnn.pad_sequence(heard, batch_first=True).to(speech.device), counts

    def audio_adaptor(
        self, heard: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What `encode` gives is adapted."""
        return heard, lengths

    def embed(self, *given: Any, **named: Any) -> torch.Tensor:
        """As `Model.embed`."""
        return Model.embed(cast("Model", self), *given, **named)


def run_hearing(hearing: FloatGraph, features: torch.Tensor) -> list[torch.Tensor]:
    """Encoder and adaptor output for features (T, 560), padded with zeros as CapsWriter does it."""
    frames = len(features)
    padding = (0, 0, 0, max(LEAST_FRAMES - frames, 0))
    padded = nn.functional.pad(features.cpu().float(), padding)
    mask = torch.arange(len(padded)) < frames
    return hearing(padded[None], mask[None])


def load(directory: Path) -> FunAsrNano:
    """Load an export; see `runtimes.load`.

    Raises:
        CheckpointError: a file is missing or damaged.
        ConfigError: a package of the extra export is not installed.
    """
    reader = Reader(one_file(directory, f"{LLM}.*.gguf"))
    if not (directory / TOKENS).is_file():
        raise CheckpointError(f"{directory} lacks {TOKENS}; export the checkpoint again")
    try:
        hearing = FloatGraph(one_file(directory, f"{HEARING}.*.onnx"))
        FloatGraph(one_file(directory, f"{CTC}.*.onnx"))  # for CapsWriter's hotwords and timestamps
    except ExportError as error:
        raise CheckpointError(str(error)) from None
    llm = Qwen3ForCausalLM(qwen3_config(reader))
    fill(llm, reader, llm_tensors(reader, llm.state_dict()))
    model = CapsWriterModel(hearing, llm).eval()
    frontend = FilterBanks(**FRONT_END, **FEATURES)
    return FunAsrNano(directory, cast("Model", model), read_tokenizer(reader), frontend, saved={})


def one_file(directory: Path, pattern: str) -> Path:
    """The only file of a pattern, whatever precision is in its name."""
    files = sorted(directory.glob(pattern))
    if len(files) != 1:
        raise CheckpointError(
            f"{directory} has {len(files)} files {pattern}; an export for CapsWriter-Offline has "
            "one. Export the checkpoint again"
        )
    return files[0]
