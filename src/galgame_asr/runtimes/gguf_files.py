"""The two GGUF files of a Fun-ASR-Nano: how they are written, and read without a checkpoint.

Layouts: the encoder's is that of FunASR's llama.cpp runtime (runtime/llama.cpp/fun-asr-nano of
https://github.com/modelscope/FunASR: funasr-cli.cpp reads it), the language model's that of
llama.cpp itself, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md with the tensors'
names of the package gguf.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3Config

from galgame_asr.families.fun_asr_nano.filter_banks import FilterBanks
from galgame_asr.families.fun_asr_nano.network import Model
from galgame_asr.messages.errors import CheckpointError
from galgame_asr.runtimes.extras import require

ENCODER_ARCHITECTURE, LLM_ARCHITECTURE = "funasr-sensevoice-encoder", "qwen3"
# Parts of the model in the encoder's file, under the checkpoint's names.
HEARING = ("audio_encoder.", "audio_adaptor.")
# Depthwise kernels (D, 1, K) of the encoder's memory blocks: in the file (K, D), so that the
# runtime has each tap's D values side by side.
MEMORY = "fsmn_block.weight"
# Of matrices, by precision: the type in the file, and the number of llama.cpp's file type.
TYPES = {"float32": "F32", "float16": "F16", "q8_0": "Q8_0"}
END, PAD, START = "<|im_end|>", "<|endoftext|>", "<|im_start|>"
# The features that the runtime computes; there is no key for them.
FRONT_END = {"fs": 16000, "window": "hamming", "frame_length": 25, "frame_shift": 10}


def llm_names(names: Mapping[str, Any], num_layers: int) -> dict[str, str]:
    """GGUF's name of each tensor of a Qwen3, without those that it has none for."""
    gguf = require("gguf", extra="export")
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, num_layers)
    found = {name: known.get_name(name, try_suffixes=(".weight",)) for name in names}
    return {name: other for name, other in found.items() if other is not None}


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


def read_frontend(encoder: Reader) -> FilterBanks:
    """The front end that the runtime computes features with."""
    sizes = {key: encoder.value(f"funasr.frontend.{key}") for key in ("n_mels", "lfr_m", "lfr_n")}
    return FilterBanks(**FRONT_END, **sizes)


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
    # Which may go on where the embeddings are more.
    if any(listed[n : n + 1] != [token] for token, n in own.get_vocab().items()):
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


def load_model(encoder: Reader, llm: Reader) -> Model:
    """Build the model that two files describe, with their tensors."""
    with tempfile.TemporaryDirectory() as directory:
        model = Model(**read_config(encoder, llm, Path(directory)))
    hearing = nn.ModuleDict({p[:-1]: getattr(model, p[:-1]) for p in HEARING})
    fill(hearing, encoder, encoder_tensors(encoder))
    fill(model.llm, llm, llm_tensors(llm, model.llm.state_dict()))
    model.eval()
    return model
