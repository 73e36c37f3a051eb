"""The two GGUF files of a Fun-ASR-Nano, written."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from galgame_asr.families.fun_asr_nano.filter_banks import FilterBanks
from galgame_asr.families.fun_asr_nano.network import Model
from galgame_asr.messages.errors import ExportError
from galgame_asr.runtimes.extras import require
from galgame_asr.runtimes.gguf_files import (
    ENCODER_ARCHITECTURE,
    END,
    HEARING,
    LLM_ARCHITECTURE,
    MEMORY,
    PAD,
    START,
    TYPES,
    llm_names,
)

FILE_TYPES = {"float32": 0, "float16": 1, "q8_0": 7}
Q8_0_BLOCK = 32  # values that share a scale, in the same row


def write_encoder(file: Path, model: Model, frontend: FilterBanks, precision: str) -> None:
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


def largest_difference(
    tensors: Iterable[tuple[str, torch.Tensor]], state: Mapping[str, torch.Tensor]
) -> float:
    """How far tensors are from those of the same names, as a share of each one's largest value."""
    shares = [0.0]
    for name, tensor in tensors:
        expected = state[name].float()
        largest = expected.abs().max().clamp(min=1e-30)
        shares.append(float((tensor - expected).abs().max() / largest))
    return float(np.max(shares))  # which a NaN stays in


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
