"""Fun-ASR-Nano in the files of CapsWriter-Offline 2.3 and newer.

They go to models/Fun-ASR-Nano/Fun-ASR-Nano-GGUF; config_server.py names them:

    Fun-ASR-Nano-Encoder-Adaptor.fp16.onnx  features and mask -> encoder and adaptor output
    Fun-ASR-Nano-CTC.fp16.onnx              encoder output -> candidates of each frame
    Fun-ASR-Nano-Decoder.q8_0.gguf          the language model, as llama.cpp loads it
    tokens.txt                              tokens of the CTC branch: base64, number

(core/server/engines/fun_asr_gguf of https://github.com/HaujetZhao/CapsWriter-Offline.) The
tensors are checked, and what they say with FunASR's features; CapsWriter itself is not run:
see runtimes/capswriter.py.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from galgame_asr.families.common.family import FrontEnd
from galgame_asr.families.fun_asr_nano.family import FunAsrNano
from galgame_asr.families.fun_asr_nano.network import CTC_BRANCH, Model
from galgame_asr.formats.capswriter.masked import Candidates, MaskedHearing
from galgame_asr.formats.common import checkpoint as fun_asr_nano_exportable
from galgame_asr.formats.common import onnx as onnx_graph
from galgame_asr.formats.common.gguf import largest_difference, write_llm
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import ExportError
from galgame_asr.runtimes.capswriter import (
    CTC,
    FEATURES,
    HEARING,
    LEAST_FRAMES,
    LLM,
    TOKENS,
    FloatGraph,
    one_file,
    run_hearing,
)
from galgame_asr.runtimes.extras import require
from galgame_asr.runtimes.gguf_files import FRONT_END, Reader, llm_tensors

RUNTIME = "capswriter"
PACKAGE = "onnxruntime"
# By precision: in the names of the graphs and of the language model.
LABELS = {"float32": ("fp32", "fp32"), "float16": ("fp16", "fp16"), "q8_0": ("fp16", "q8_0")}
# What CapsWriter takes for granted: section of config.yaml, key, value, FunASR's default.
GRANTED = (
    ("audio_adaptor_conf", "use_low_frame_rate", True, False),
    ("frontend_conf", "cmvn_file", None, None),
    *(("frontend_conf", key, value, value) for key, value in (FRONT_END | FEATURES).items()),
)
# Its CTC decoder warms up with zeros of this width.
ENCODER_DIM = 512
BLANK = "<blk>"


def export(checkpoint: Path, output: Path, precision: str) -> None:
    """Write the four files.

    Args:
        checkpoint: a model directory in FunASR's layout, with the CTC branch.
        output: an empty directory; the same checkpoint gives the same bytes.
        precision: of the language model's matrices, float32, float16 or q8_0; the graphs are
            float32 with the first and float16 with the others.

    Raises:
        ConfigError: a package of the extra export is not installed.
        ExportError: the checkpoint is of another family, has no CTC branch, or is none that
            CapsWriter computes.
    """
    require("gguf", extra="export")
    nano = _load(checkpoint)
    model, (graphs, llm) = nano.model, LABELS[precision]
    width = model.audio_encoder.output_size()
    if width != ENCODER_DIM:
        log.warning(
            "%s has an encoder of width %d: CapsWriter, which warms up with %d, cannot run this "
            "export",
            checkpoint,
            width,
            ENCODER_DIM,
        )
    _write_tokens(nano, output / TOKENS)
    _write_graphs(model, output, graphs)
    write_llm(output / f"{LLM}.{llm}.gguf", model.llm, nano.tokenizer, precision)


def _write_graphs(model: Model, output: Path, label: str) -> None:
    """Write the two graphs; with the label fp16, what they are made of becomes float16."""
    dtype = torch.float16 if label == "fp16" else torch.float32
    size, width = model.audio_encoder.encoders0[0].in_size, model.audio_encoder.output_size()
    onnx_graph.write(
        MaskedHearing(model).to(dtype),
        output / f"{HEARING}.{label}.onnx",
        inputs={
            "lfr_feat": torch.zeros(1, LEAST_FRAMES, size, dtype=dtype),
            "mask": torch.ones(1, LEAST_FRAMES, dtype=dtype),
        },
        outputs=["enc_output", "adaptor_output"],
        axes={
            "lfr_feat": {1: "frames"},
            "mask": {1: "frames"},
            "enc_output": {1: "frames"},
            "adaptor_output": {1: "heard"},
        },
        metadata={},
    )
    onnx_graph.write(
        Candidates(model).to(dtype),
        output / f"{CTC}.{label}.onnx",
        inputs={"enc_output": torch.ones(1, LEAST_FRAMES, width, dtype=dtype)},
        outputs=["topk_log_probs", "topk_indices"],
        axes={name: {1: "frames"} for name in ("enc_output", "topk_log_probs", "topk_indices")},
        metadata={},
    )


def front_end(_checkpoint: Path) -> FrontEnd | None:
    """None: what is verified takes FunASR's features."""
    return None


def differences(checkpoint: Path, directory: Path) -> Mapping[str, float]:
    """Of what the graphs give, and of the language model's tensors; see `Exporter`."""
    nano = _load(checkpoint)
    found = {}
    measures: Mapping[str, Callable[..., _Pairs]] = {HEARING: _heard, CTC: _candidates}
    for name, measure in measures.items():
        file = one_file(directory, f"{name}.*.onnx")
        with torch.no_grad():
            pairs = measure(FloatGraph(file), nano.model)
            found[file.name] = onnx_graph.largest_difference(pairs)
    reader = Reader(one_file(directory, f"{LLM}.*.gguf"))
    state = nano.model.llm.state_dict()
    found[reader.file.name] = largest_difference(llm_tensors(reader, state), state)
    return found


# Tensors of an export, each with the checkpoint's.
_Pairs = Iterator[tuple[torch.Tensor, torch.Tensor]]


def _speech(model: Model) -> Iterator[torch.Tensor]:
    """Features (T, 560) of one frame to 12 s, some of which are padded."""
    draw = torch.Generator().manual_seed(0)
    for frames in (1, 7, LEAST_FRAMES - 1, LEAST_FRAMES, 25, 200):
        size = model.audio_encoder.encoders0[0].in_size
        yield 10 + 4 * torch.randn(frames, size, generator=draw)


def _heard(graph: FloatGraph, model: Model) -> _Pairs:
    """Encoder output with its zeros, and the adaptor's for what is no padding."""
    for features in _speech(model):
        encoded, lengths = model.encode(features[None], torch.tensor([len(features)]))
        adapted, _ = model.audio_adaptor(encoded, lengths)
        encoder_output, adaptor_output = run_hearing(graph, features)
        padding = encoder_output.shape[1] - encoded.shape[1]
        yield encoder_output, torch.nn.functional.pad(encoded, (0, 0, 0, padding))
        yield adaptor_output[:, : adapted.shape[1]], adapted


def _candidates(graph: FloatGraph, model: Model) -> _Pairs:
    """Their log probabilities, which are the largest, and blanks where there is padding."""
    for features in _speech(model):
        frames = len(features)
        encoded, lengths = model.encode(features[None], torch.tensor([frames]))
        logits = model.ctc.ctc_lo(model.ctc_decoder(encoded, lengths)[0])
        expected = logits.log_softmax(-1)
        padded = torch.nn.functional.pad(encoded, (0, 0, 0, max(LEAST_FRAMES - frames, 0)))
        values, tokens = graph(padded)
        real = tokens[:, :frames].long()
        yield values[:, :frames], expected.topk(real.shape[2]).values
        yield values[:, :frames], expected.gather(2, real)
        if padded.shape[1] > frames and not bool((tokens[:, frames:, 0] == model.ctc_blank).all()):
            raise ExportError("the CTC graph finds tokens in padding; export it again")


def _load(checkpoint: Path) -> FunAsrNano:
    """Load a checkpoint with its CTC branch."""
    nano = fun_asr_nano_exportable.load(checkpoint, "capswriter", GRANTED)
    if not any(name.startswith(CTC_BRANCH) for name in nano.saved):
        raise ExportError(
            f"{checkpoint} has no CTC branch (tensors {' and '.join(CTC_BRANCH)}), which "
            "CapsWriter finds hotwords and timestamps with. Train with "
            "train.phases.PHASE.ctc_weight above 0, from a base that has it, as the published "
            "model on ModelScope does, or with ctc: new; or choose the format gguf"
        )
    nano.add_ctc_loss(1.0, "published")
    if (rate := nano.model.ctc_decoder.k) != 1:
        raise ExportError(
            f"{checkpoint}/config.yaml: ctc_decoder_conf.downsample_rate is {rate}; the runtime "
            "takes 1 for granted, as the published model has it. Export a checkpoint that was "
            "trained so"
        )
    nano.model.eval()
    return nano


def _write_tokens(nano: FunAsrNano, file: Path) -> None:
    """Write a line for each output of the CTC branch: the token in base64, its number."""
    encoding: Any = nano.ctc_tokenizer.encoding
    tokens = [
        BLANK.encode() if n == nano.model.ctc_blank else encoding.decode_single_token_bytes(n)
        for n in range(nano.model.ctc.ctc_lo.out_features)
    ]
    lines = [f"{base64.b64encode(token).decode()} {n}\n" for n, token in enumerate(tokens)]
    file.write_text("".join(lines), encoding="utf-8")
