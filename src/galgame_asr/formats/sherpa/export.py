"""Fun-ASR-Nano for sherpa-onnx, as `OfflineRecognizer.from_funasr_nano` loads it (1.12.21 on).

Other than in the published export, which sherpa-onnx's own texts differ from PyTorch's with:

- the language model hears as many frames as it was trained with (`use_low_frame_rate`);
- frames are stacked inside the graph, with FunASR's padding: the runtime has none;
- positions come from the attention mask, in which the runtime leaves a hole;
- bytes are unsigned, which give the same on every CPU.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.families.common.family import FrontEnd
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.funasr_parts import apply_lfr, fbank
from galgame_asr.families.fun_asr_nano.network import Model
from galgame_asr.families.fun_asr_nano.weights import read_config
from galgame_asr.formats.common import checkpoint as fun_asr_nano_exportable
from galgame_asr.formats.common import onnx as onnx_graph
from galgame_asr.formats.common.graphs import Hearing, Saying, cache_shape
from galgame_asr.messages.errors import ExportError
from galgame_asr.runtimes.onnx import Graph
from galgame_asr.runtimes.sherpa import GRAPHS, TOKENIZER, graph_file, is_int8, padded

RUNTIME = "sherpa"
PACKAGE = "sherpa-onnx"
NUM_MELS = 80
# What the runtime does whatever a checkpoint was trained with: section of config.yaml, key,
# value, FunASR's value where the key is missing. It has one front end and one chat template.
GRANTED = (
    *(
        ("frontend_conf", key, value, value)
        for key, value in {
            "fs": SAMPLE_RATE_HZ,
            "window": "hamming",
            "n_mels": NUM_MELS,
            "frame_length": 25,
            "frame_shift": 10,
            "cmvn_file": None,
        }.items()
    ),
    ("dataset_conf", "do_think", True, True),
    ("dataset_conf", "sys_prompt", True, True),
)
# Tokens that the runtime looks up by these names.
SPECIAL_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")


def capacity(*, low_frame_rate: bool) -> int:
    """Rows of the cache: for the instruction, the speech and the text together.

    512 as in the published export: 30 s of speech are 63 of them at the low frame rate, and
    500 without it.
    """
    return 512 if low_frame_rate else 1024


def export(checkpoint: Path, output: Path, precision: str) -> None:
    """Write the three graphs and the tokenizer.

    Args:
        checkpoint: a Fun-ASR-Nano in FunASR's layout.
        output: an empty directory; the same checkpoint gives the same bytes.
        precision: float32, or int8, of matrices.

    Raises:
        ConfigError: a package of the extra export is not installed.
        ExportError: the checkpoint is of another family, or the runtime cannot do what it was
            trained with.
    """
    fun_asr_nano_exportable.check(checkpoint, "sherpa", GRANTED)
    tokenizer = _checked_tokenizer(checkpoint)
    model = fun_asr_nano.load(checkpoint).model  # without the tensors of the file
    int8 = precision == "int8"
    with tempfile.TemporaryDirectory(dir=output) as folder:
        for name, part in _parts(model, _stacking(checkpoint)).items():
            # Bytes of rows are made of the checkpoint's own numbers.
            if name == "embedding" and int8:
                onnx_graph.write_quantised_embedding(
                    _embedding(model),
                    graph_file(output, name, int8=True),
                    names=("input_ids", "embeddings"),
                    metadata=part.metadata,
                )
                continue
            onnx_graph.write(
                part.module,
                graph_file(Path(folder) if int8 else output, name, int8=False),
                inputs=part.inputs,
                outputs=part.outputs,
                axes=part.axes,
                metadata=part.metadata,
            )
        del model, part  # gigabytes, which quantising needs
        for name in ("encoder_adaptor", "llm") if int8 else ():
            source = graph_file(Path(folder), name, int8=False)
            onnx_graph.quantise(source, graph_file(output, name, int8=True))
    _write_tokenizer(tokenizer, output / TOKENIZER)


def front_end(checkpoint: Path) -> FrontEnd | None:
    """What stock sherpa-onnx computes, stacked as FunASR does it."""
    return SherpaFrontEnd(*_stacking(checkpoint))


@dataclass(frozen=True)
class SherpaFrontEnd:
    """Features (T, 560) of 16 kHz samples by sherpa-onnx's filter banks.

    Kaldi's with sherpa-onnx's defaults (features.h: 20 Hz to 400 Hz below half the sampling
    rate) and what offline-recognizer-funasr-nano-impl.cc sets: no dither, a Hamming window,
    and edges of frames filled by reflection. FunASR goes up to 8000 Hz and leaves edges out.
    """

    lfr_m: int
    lfr_n: int

    def __call__(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """See `FrontEnd`."""
        banks = fbank(
            # As WavFrontend: 16-bit values.
            torch.from_numpy(padded(audio))[None] * (1 << 15),
            num_mel_bins=NUM_MELS,
            high_freq=-400.0,
            low_freq=20.0,
            snip_edges=False,
            dither=0.0,
            window_type="hamming",
            sample_frequency=float(SAMPLE_RATE_HZ),
            energy_floor=0.0,
        )
        features: torch.Tensor = apply_lfr(banks, self.lfr_m, self.lfr_n)
        return features


def differences(checkpoint: Path, directory: Path) -> Mapping[str, float]:
    """See `Exporter`: of what each graph gives, run by onnxruntime."""
    model = fun_asr_nano_exportable.load(checkpoint, "sherpa").model
    int8 = is_int8(directory)
    stacking = _stacking(checkpoint)
    measures: Mapping[str, Callable[[Graph], _Pairs]] = {
        "encoder_adaptor": lambda graph: _heard(graph, model, *stacking),
        "llm": lambda graph: _said(graph, model),
        "embedding": lambda graph: _embedded(graph, model),
    }
    found = {}
    with torch.no_grad():
        for name in GRAPHS:
            file = graph_file(directory, name, int8=int8)
            pairs = measures[name](Graph(file))
            found[file.name] = onnx_graph.largest_difference(pairs)
    return found


# Tensors of an export, each with the checkpoint's.
_Pairs = Sequence[tuple[torch.Tensor, torch.Tensor]]


def _heard(graph: Graph, model: Model, lfr_m: int, lfr_n: int) -> _Pairs:
    """Speech as the language model hears it, of one frame of filter banks to 3 s."""
    draw = torch.Generator().manual_seed(0)
    pairs = []
    for count in (1, 2, 6, 7, 20, 55, 300):
        banks = 10 + 4 * torch.randn(count, NUM_MELS, generator=draw)
        features = apply_lfr(banks, lfr_m, lfr_n)[None]
        lengths = torch.tensor([features.shape[1]])
        num_speech = features.shape[1]
        if model.use_low_frame_rate:
            num_speech = fun_asr_nano.num_speech_tokens(num_speech)
        tokens = torch.zeros(1, num_speech, dtype=torch.int64)
        start, end = torch.tensor([0]), torch.tensor([num_speech])
        expected = model.embed(*model.encode(features, lengths), tokens, start, end)
        pairs.append((_same_shape(graph(banks[None])[0], expected), expected))
    return pairs


def _said(graph: Graph, model: Model) -> _Pairs:
    """Logits after prompts of several lengths, and after one more token as the runtime gives it."""
    draw = torch.Generator().manual_seed(0)
    shape = cache_shape(model, int(graph.metadata["max_total_len"]))
    pairs = []
    for count in (1, 9, 40):
        tokens = torch.randint(model.llm.config.vocab_size, (1, count + 1), generator=draw)
        embedded = model.llm.get_input_embeddings()(tokens)
        expected = model.llm(inputs_embeds=embedded, use_cache=False).logits
        cache = [torch.zeros(shape) for _ in range(2 * len(model.llm.model.layers))]
        mask, rows = torch.ones(1, count, dtype=torch.int64), torch.arange(count)
        logits, *new = graph(embedded[:, :count], mask, rows, *cache)
        pairs.append((logits[:, -1], expected[:, count - 1]))
        for kept, given in zip(cache, new, strict=True):
            kept[:, :count] = given
        # The row after the prompt stays empty.
        mask = torch.cat([mask, torch.tensor([[0, 1]])], dim=1)
        logits, *_ = graph(embedded[:, count:], mask, torch.tensor([count + 1]), *cache)
        pairs.append((logits[:, -1], expected[:, count]))
    return pairs


def _embedded(graph: Graph, model: Model) -> _Pairs:
    tokens = torch.arange(model.llm.config.vocab_size)[None]
    expected = model.llm.get_input_embeddings()(tokens)
    return [(_same_shape(graph(tokens)[0], expected), expected)]


def _same_shape(found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    if found.shape != expected.shape:
        raise ExportError(
            f"a graph gives {tuple(found.shape)} where its checkpoint gives "
            f"{tuple(expected.shape)}; export it again"
        )
    return found


@dataclass(frozen=True)
class _Part:
    """What one graph is traced from; see `onnx_graph.write`."""

    module: torch.nn.Module
    inputs: Mapping[str, torch.Tensor]
    outputs: Sequence[str]
    axes: Mapping[str, Mapping[int, str]]
    metadata: Mapping[str, object]


def _parts(model: Model, stacking: tuple[int, int]) -> dict[str, _Part]:
    """By the name of the graph; sherpa-onnx reads sizes from their metadata.

    (sherpa-onnx/csrc/offline-funasr-nano-model.cc.)
    """
    config = model.llm.config
    sizes = {"vocab_size": config.vocab_size, "hidden_size": config.hidden_size}
    hearing = _Part(
        Hearing(model, lfr_m=stacking[0], lfr_n=stacking[1]),
        {"x": torch.zeros(1, 243, NUM_MELS)},
        ["encoder_out"],
        {"x": {1: "frames"}, "encoder_out": {1: "heard"}},
        {
            "model_type": "sense_voice_encoder_adaptor",
            "llm_dim": config.hidden_size,
            # The runtime hands frames over as they are.
            "lfr_window_size": 1,
            "lfr_window_shift": 1,
            "use_low_frame_rate": int(model.use_low_frame_rate),
        },
    )
    embedding = _Part(
        model.llm.get_input_embeddings(),
        {"input_ids": torch.zeros(1, 9, dtype=torch.int64)},
        ["embeddings"],
        {"input_ids": {1: "tokens"}, "embeddings": {1: "tokens"}},
        {"model_type": "embedding", **sizes},
    )
    return {"encoder_adaptor": hearing, "llm": _saying(model, sizes), "embedding": embedding}


def _saying(model: Model, sizes: Mapping[str, int]) -> _Part:
    layers = len(model.llm.model.layers)
    rows = capacity(low_frame_rate=model.use_low_frame_rate)
    shape = cache_shape(model, rows)
    caches = [f"cache_{kind}_{layer}" for layer in range(layers) for kind in ("key", "value")]
    deltas = [f"{kind}_delta_{layer}" for layer in range(layers) for kind in ("key", "value")]
    new, earlier = 7, 5
    return _Part(
        Saying(model),
        {
            "inputs_embeds": torch.zeros(1, new, sizes["hidden_size"]),
            "attention_mask": torch.ones(1, earlier + new, dtype=torch.int64),
            "cache_position": torch.arange(earlier, earlier + new),
            **{name: torch.zeros(shape) for name in caches},
        },
        ["logits", *deltas],
        {
            "inputs_embeds": {1: "new"},
            "attention_mask": {1: "tokens"},
            "cache_position": {0: "new"},
            **{name: {1: "new"} for name in deltas},
        },
        {
            "model_type": "qwen3_causallm_unified_prefill_decode_kv_delta",
            **sizes,
            "num_layers": layers,
            "max_total_len": rows,
            "num_kv_heads": shape[2],
            "head_dim": shape[3],
        },
    )


def _embedding(model: Model) -> torch.Tensor:
    weight: torch.Tensor = model.llm.get_input_embeddings().weight
    return weight.detach().float()


def _stacking(checkpoint: Path) -> tuple[int, int]:
    """How many frames FunASR stacks, every how many."""
    conf = read_config(checkpoint)["frontend_conf"]
    return conf["lfr_m"], conf["lfr_n"]


def _checked_tokenizer(checkpoint: Path) -> Path:
    """tokenizer.json, if the runtime can do what is in it."""
    directory = Path(read_config(checkpoint)["tokenizer_conf"]["init_param_path"])
    file = directory / "tokenizer.json"
    if not file.is_file():
        raise ExportError(
            f"{directory} lacks tokenizer.json, which the runtime's files are made of; take it "
            "from the published model"
        )
    tokenizer = json.loads(file.read_bytes())
    kind = tokenizer["model"].get("type")
    if kind != "BPE":
        raise ExportError(f"{file} is a {kind} tokenizer; sherpa-onnx has byte-level BPE alone")
    added = {token["content"] for token in tokenizer.get("added_tokens", [])}
    if missing := [name for name in SPECIAL_TOKENS if name not in added]:
        raise ExportError(
            f"{file} has no {', '.join(missing)} among added_tokens, by which sherpa-onnx writes "
            "the instruction and ends the text; add them as the published model does"
        )
    return file


def _write_tokenizer(file: Path, directory: Path) -> None:
    """Write what sherpa-onnx reads: tokenizer.json as it is, and in the layout before it."""
    directory.mkdir()
    shutil.copyfile(file, directory / file.name)  # not the read-only mode of DVC's files
    model = json.loads(file.read_bytes())["model"]
    vocabulary = json.dumps(model["vocab"], ensure_ascii=False)
    (directory / "vocab.json").write_text(vocabulary + "\n", encoding="utf-8")
    pairs = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    lines = ["#version: 0.2", *pairs]
    (directory / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
