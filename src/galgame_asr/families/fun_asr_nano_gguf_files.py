"""The two GGUF files of a Fun-ASR-Nano: how they are written, and read without a checkpoint.

Layouts: the encoder's is that of FunASR's llama.cpp runtime (runtime/llama.cpp/fun-asr-nano of
https://github.com/modelscope/FunASR: funasr-cli.cpp reads it), the language model's that of
llama.cpp itself, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md with the tensors'
names of the package gguf.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3Config

from galgame_asr.errors import CheckpointError, ExportError
from galgame_asr.extras import require
from galgame_asr.families.fun_asr_nano_model import Model
from galgame_asr.families.funasr_parts import WavFrontend

ENCODER_ARCHITECTURE, LLM_ARCHITECTURE = "funasr-sensevoice-encoder", "qwen3"
# Parts of the model in the encoder's file, under the checkpoint's names.
HEARING = ("audio_encoder.", "audio_adaptor.")
# Depthwise kernels (D, 1, K) of the encoder's memory blocks: in the file (K, D), so that the
# runtime has each tap's D values side by side.
MEMORY = "fsmn_block.weight"
# Of matrices, by precision: the type in the file, and the number of llama.cpp's file type.
TYPES = {"float32": "F32", "float16": "F16", "q8_0": "Q8_0"}
FILE_TYPES = {"float32": 0, "float16": 1, "q8_0": 7}
Q8_0_BLOCK = 32  # values that share a scale, in the same row
END, PAD, START = "<|im_end|>", "<|endoftext|>", "<|im_start|>"
# The features that the runtime computes; there is no key for them.
FRONT_END = {"fs": 16000, "window": "hamming", "frame_length": 25, "frame_shift": 10}


def write_encoder(file: Path, model: Model, frontend: WavFrontend, precision: str) -> None:
    """Write encoder and adaptor, and what the runtime must know to compute them."""
    encoder, adaptor = model.audio_encoder, model.audio_adaptor
    first, blocks = encoder.encoders0[0], adaptor.blocks or []
    keys = {
        "funasr.enc.input_size": first.self_attn.linear_q_k_v.in_features,
        "funasr.enc.output_size": encoder.output_size(),
        "funasr.enc.attention_heads": first.self_attn.h,
        "funasr.enc.linear_units": first.feed_forward.w_1.out_features,
        "funasr.enc.num_blocks": len(encoder.encoders0) + len(encoder.encoders),
        "funasr.enc.tp_blocks": len(encoder.tp_encoders),
        "funasr.enc.kernel_size": first.self_attn.fsmn_block.kernel_size[0],
        "funasr.enc.sanm_shfit": 0,  # upstream's spelling
        "funasr.adp.llm_dim": adaptor.linear2.out_features,
        "funasr.adp.encoder_dim": encoder.output_size(),
        "funasr.adp.ffn_dim": adaptor.linear1.out_features,
        "funasr.adp.n_layer": len(blocks),
        "funasr.adp.attention_heads": blocks[0].self_attn.h if len(blocks) else 1,
        # funasr-cli.cpp does not read this one, and takes 1 for granted.
        "funasr.adp.downsample_rate": adaptor.k,
        "funasr.frontend.n_mels": frontend.n_mels,
        "funasr.frontend.lfr_m": frontend.lfr_m,
        "funasr.frontend.lfr_n": frontend.lfr_n,
    }
    writer = _writer(file, ENCODER_ARCHITECTURE, precision)
    for key, value in keys.items():
        writer.add_uint32(key, value)
    for name, tensor in model.state_dict().items():
        if name.startswith(HEARING):
            stored = tensor[:, 0].T if name.endswith(MEMORY) else tensor
            # Its taps are added one by one, in float32 alone.
            _add(writer, name, stored, "float32" if name.endswith(MEMORY) else precision)
    _finish(writer)


def write_llm(
    file: Path, llm: nn.Module, tokenizer: PreTrainedTokenizerFast, precision: str
) -> None:
    """Write a Qwen3 with its tokenizer, as llama.cpp loads any other.

    Raises:
        ExportError: llama.cpp would compute something else, or has no name for a tensor.
    """
    config: Any = llm.config
    _check_llm(config)
    tied = config.tie_word_embeddings
    state = {n: t for n, t in llm.state_dict().items() if not (tied and n == "lm_head.weight")}
    names = llm_names(state, config.num_hidden_layers)
    if unknown := sorted(set(state) - set(names)):
        raise ExportError(
            f"the language model has tensors that llama.cpp's Qwen3 does not know: "
            f"{', '.join(unknown[:5])}; export a checkpoint with a plain Qwen3"
        )
    writer = _writer(file, LLM_ARCHITECTURE, precision)
    writer.add_name("Fun-ASR-Nano")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, tokenizer, config)
    for name, tensor in state.items():
        _add(writer, names[name], tensor, precision)
    _finish(writer)


def llm_names(names: Mapping[str, Any], num_layers: int) -> dict[str, str]:
    """GGUF's name of each tensor of a Qwen3, without those that it has none for."""
    gguf = require("gguf", extra="export")
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, num_layers)
    found = {name: known.get_name(name, try_suffixes=(".weight",)) for name in names}
    return {name: other for name, other in found.items() if other is not None}


def check_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuse a tokenizer that llama.cpp's byte-level BPE does not stand for.

    Raises:
        ExportError: it is of another kind, or lacks a mark of the prompt.
    """
    kind = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["type"]
    if kind != "BPE":
        raise ExportError(
            f"the language model's tokenizer is of type {kind}; GGUF files take the byte-level "
            "BPE of Qwen"
        )
    special = {str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}
    if missing := [token for token in (START, END, PAD) if token not in special]:
        raise ExportError(
            f"the tokenizer has no special token {', '.join(missing)}, which the runtime's "
            "prompt is made of; take the tokenizer of the published model"
        )


class Reader:
    """Metadata and tensors of one GGUF file.

    Raises:
        CheckpointError: on reading, where the file is missing or damaged.
    """

    def __init__(self, file: Path) -> None:
        gguf = require("gguf", extra="export")
        self.file = file
        self._dequantize = gguf.quants.dequantize
        try:
            self._reader = gguf.GGUFReader(file)
        except FileNotFoundError:
            raise CheckpointError(f"{file} is missing") from None
        # What the package raises where lengths and kinds make no sense.
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
            raise CheckpointError(f"{file} cannot be read as GGUF: {error}") from None

    def value(self, key: str) -> Any:
        """The value of a key: number, text or list.

        Raises:
            CheckpointError: the file has no such key.
        """
        field = self._reader.get_field(key)
        if field is None:
            raise CheckpointError(f"{self.file} has no key {key}; export the checkpoint again")
        return field.contents()

    def names(self) -> list[str]:
        """The names of all tensors, as in the file."""
        return [tensor.name for tensor in self._reader.tensors]

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Names and float32 values of all tensors, one after the other."""
        for tensor in self._reader.tensors:
            values = self._dequantize(tensor.data, tensor.tensor_type)
            # A copy: the file is mapped read-only, which torch does not know of.
            yield tensor.name, torch.from_numpy(values.copy())


def encoder_tensors(reader: Reader) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors of the encoder's file under the checkpoint's names and in its shapes."""
    for name, tensor in reader.tensors():
        yield name, tensor.T[:, None] if name.endswith(MEMORY) else tensor


def llm_tensors(reader: Reader, names: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors of the language model's file; `names` are those of the model that takes them."""
    own = {
        v: k for k, v in llm_names(names, reader.value(f"{LLM_ARCHITECTURE}.block_count")).items()
    }
    for name, tensor in reader.tensors():
        yield own.get(name, name), tensor


def read_config(encoder: Reader, llm: Reader, directory: Path) -> dict[str, Any]:
    """A config.yaml's values as `Model` takes them, out of the two files.

    Args:
        encoder: the encoder's file.
        llm: the language model's file.
        directory: where the language model's configuration is written for `Model` to read.
    """
    qwen3_config(llm).save_pretrained(directory)
    sizes = ("output_size", "attention_heads", "linear_units", "num_blocks", "tp_blocks")
    known = {size: encoder.value(f"funasr.enc.{size}") for size in (*sizes, "kernel_size")}
    adaptor = ("downsample_rate", "ffn_dim", "n_layer", "attention_heads", "llm_dim")
    return {
        "audio_encoder": "SenseVoiceEncoderSmall",
        "audio_encoder_conf": known | {"input_layer": "pe"},
        "audio_adaptor": "Transformer",
        "audio_adaptor_conf": {key: encoder.value(f"funasr.adp.{key}") for key in adaptor}
        | {"use_low_frame_rate": True},  # as the runtime does always
        "llm": "Qwen3",
        "llm_conf": {"init_param_path": str(directory), "llm_dtype": "fp32"},
        "input_size": encoder.value("funasr.enc.input_size"),
        "vocab_size": -1,
    }


def qwen3_config(llm: Reader) -> Qwen3Config:
    """The language model's configuration, out of its file."""

    def value(key: str) -> Any:
        return llm.value(f"{LLM_ARCHITECTURE}.{key}")

    end, pad = (llm.value(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "padding"))
    return Qwen3Config(
        architectures=["Qwen3ForCausalLM"],
        vocab_size=value("vocab_size"),
        hidden_size=value("embedding_length"),
        intermediate_size=value("feed_forward_length"),
        num_hidden_layers=value("block_count"),
        num_attention_heads=value("attention.head_count"),
        num_key_value_heads=value("attention.head_count_kv"),
        head_dim=value("attention.key_length"),
        max_position_embeddings=value("context_length"),
        rms_norm_eps=value("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": value("rope.freq_base")},
        tie_word_embeddings="output.weight" not in llm.names(),
        eos_token_id=end,
        pad_token_id=pad,
    )


def read_frontend(encoder: Reader) -> WavFrontend:
    """The front end that the runtime computes features with."""
    sizes = {key: encoder.value(f"funasr.frontend.{key}") for key in ("n_mels", "lfr_m", "lfr_n")}
    return WavFrontend(**FRONT_END, **sizes, dither=0.0)


def read_tokenizer(llm: Reader) -> PreTrainedTokenizerFast:
    """The tokenizer, out of the language model's file.

    Raises:
        CheckpointError: it is damaged, or not that of the runtime in the same file.
    """
    try:
        own = Tokenizer.from_str(llm.value("tokenizer.huggingface.json"))
    except Exception as error:  # of the package's own base, which it does not publish
        raise CheckpointError(f"{llm.file} has an unusable tokenizer: {error}") from None
    listed = llm.value("tokenizer.ggml.tokens")
    if any(listed[index] != token for token, index in own.get_vocab().items()):
        raise CheckpointError(
            f"{llm.file}: tokenizer.ggml.tokens and tokenizer.huggingface.json have other tokens; "
            "export the checkpoint again"
        )
    kind: Any = PreTrainedTokenizerFast  # which has no types
    tokenizer: PreTrainedTokenizerFast = kind(tokenizer_object=own, eos_token=END, pad_token=PAD)
    return tokenizer


def fill(model: nn.Module, reader: Reader, tensors: Iterator[tuple[str, torch.Tensor]]) -> None:
    """Copy tensors of a file into a model, one at a time: memory holds no second model.

    Raises:
        CheckpointError: a tensor is missing, unexpected or of another shape.
    """
    wanted = model.state_dict()
    if "lm_head.weight" in wanted and "output.weight" not in reader.names():
        del wanted["lm_head.weight"]  # tied: the embeddings under another name
    missing = set(wanted)
    for name, tensor in tensors:
        if name not in wanted or wanted[name].shape != tensor.shape:
            found = tuple(wanted[name].shape) if name in wanted else "none"
            raise CheckpointError(
                f"{reader.file}: tensor {name} has shape {tuple(tensor.shape)}; the model that "
                f"its keys describe has {found}; export the checkpoint again"
            )
        wanted[name].copy_(tensor)
        missing.discard(name)
    if missing:
        raise CheckpointError(
            f"{reader.file} lacks {len(missing)} tensors: {', '.join(sorted(missing)[:5])}; export "
            "the checkpoint again"
        )


def largest_difference(
    tensors: Iterable[tuple[str, torch.Tensor]], state: Mapping[str, torch.Tensor]
) -> float:
    """How far tensors are from those of the same names, as a share of each one's largest value."""
    largest = 0.0
    for name, tensor in tensors:
        expected = state[name].float()
        difference = float((tensor - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
        # A NaN stays: nothing is greater.
        largest = difference if not difference <= largest else largest
    return largest


def load_model(encoder: Reader, llm: Reader) -> Model:
    """Build the model that two files describe, with their tensors."""
    with tempfile.TemporaryDirectory() as directory:
        model = Model(**read_config(encoder, llm, Path(directory)))
    hearing = nn.ModuleDict({p[:-1]: getattr(model, p[:-1]) for p in HEARING})
    fill(hearing, encoder, encoder_tensors(encoder))
    fill(model.llm, llm, llm_tensors(llm, model.llm.state_dict()))
    model.eval()
    return model


def _writer(file: Path, architecture: str, precision: str) -> Any:
    gguf = require("gguf", extra="export")
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_file_type(FILE_TYPES[precision])
    return writer


def _finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(writer: Any, name: str, tensor: torch.Tensor, precision: str) -> None:
    """Add a tensor: vectors as float32, and matrices that q8_0 cannot hold."""
    gguf = require("gguf", extra="export")
    values = tensor.detach().float().contiguous().numpy()
    whole = precision != "q8_0" or values.shape[-1] % Q8_0_BLOCK == 0
    kind = TYPES[precision] if values.ndim == 2 and whole else "F32"
    quantised = gguf.GGMLQuantizationType[kind]
    writer.add_tensor(name, gguf.quants.quantize(values, quantised), raw_dtype=quantised)


def _add_tokenizer(writer: Any, tokenizer: PreTrainedTokenizerFast, config: Any) -> None:
    """Add tokens for llama.cpp, and the tokenizer as it is for who can read it."""
    gguf = require("gguf", extra="export")
    check_tokenizer(tokenizer)
    text = tokenizer.backend_tokenizer.to_str()
    own = {index: token for token, index in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    tokens, types = [], []
    for index in range(config.vocab_size):
        # Embeddings are often more than tokens.
        tokens.append(own.get(index, f"[PAD{index}]"))
        kind = "NORMAL" if index in own else "UNUSED"
        if index in added:
            kind = "CONTROL" if added[index].special else "USER_DEFINED"
        types.append(gguf.TokenType[kind])
    merges = json.loads(text)["model"]["merges"]
    writer.add_tokenizer_model("gpt2")  # llama.cpp's name of byte-level BPE
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_pad_token_id(tokenizer.convert_tokens_to_ids(PAD))
    writer.add_bos_token_id(tokenizer.convert_tokens_to_ids(PAD))
    writer.add_add_bos_token(False)
    writer.add_string("tokenizer.huggingface.json", text)


def _check_llm(config: Any) -> None:
    """Refuse a language model that llama.cpp would compute otherwise."""
    rope = getattr(config, "rope_parameters", None) or {}
    allowed = {
        "model_type": (config.model_type, LLM_ARCHITECTURE),
        "hidden_act": (config.hidden_act, "silu"),
        "use_sliding_window": (getattr(config, "use_sliding_window", False), False),
        "rope_type": (rope.get("rope_type"), "default"),
    }
    for key, (found, value) in allowed.items():
        if found != value:
            raise ExportError(
                f"the language model's config.json: {key} is {found}; a GGUF file of this "
                f"project takes {value} alone, as the published Fun-ASR-Nano has"
            )
    if not isinstance(config.eos_token_id, int):
        raise ExportError(
            f"the language model's config.json: eos_token_id is {config.eos_token_id}; a GGUF "
            f"file takes one token, the id of {END}"
        )
