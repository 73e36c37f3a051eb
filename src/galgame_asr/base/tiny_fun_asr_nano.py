"""A tiny Fun-ASR-Nano with random weights, for the embedded default.

Two changes of the published configuration make it learn from scratch in
minutes: `downsample_rate: 8`, so that each of the few frames that the language
model gets is made of the frames it stands for, and no CTC branch (pretraining
adds an auxiliary head of its own).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from galgame_asr.base.built import TinyBase
from galgame_asr.base.fun_asr_nano_files import (
    PAD,
    SPECIAL_TOKENS,
    configuration,
    save_tokenizer,
    write_json,
)
from galgame_asr.families.fun_asr_nano.family import END, SYSTEM, WEIGHTS
from galgame_asr.families.fun_asr_nano.network import Model
from galgame_asr.families.fun_asr_nano.weights import read_config, save_weights

LLM_DIRECTORY = "Qwen3-tiny"
# The fixed parts of the instruction as tokens of their own: in bytes or characters they
# would be most of what the language model reads.
INSTRUCTION_TOKENS = [
    f"system\n{SYSTEM}",
    "user\n",
    "assistant\n",
    "\n",
    "语音转写",
    "成日文",
    "：",
]


def build(directory: Path, params: TinyBase, *, texts: Iterable[str], seed: int) -> None:
    """Write a model directory in FunASR's layout, its tokenizer trained on `texts`."""
    llm_directory = directory / LLM_DIRECTORY
    llm_directory.mkdir(parents=True)
    tokenizer = train_tokenizer(texts, params.vocabulary)
    save_tokenizer(tokenizer, llm_directory)
    write_json(llm_directory / "config.json", llm_config(params, tokenizer))
    YAML().dump(model_config(params), directory / "config.yaml")
    write_json(directory / "configuration.json", configuration(LLM_DIRECTORY))
    torch.manual_seed(seed)
    config = read_config(directory)
    frontend = config["frontend_conf"]
    model = Model(**config, input_size=frontend["n_mels"] * frontend["lfr_m"], vocab_size=-1)
    save_weights(model, directory / WEIGHTS)


def train_tokenizer(
    texts: Iterable[str], vocabulary: int, *, whole: Sequence[str] = INSTRUCTION_TOKENS
) -> Tokenizer:
    """Train a byte-level BPE in which every character beyond ASCII stays a token of its own.

    Args:
        texts: what it learns its tokens from.
        vocabulary: largest number of those.
        whole: strings that are a token each besides.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[^\x00-\x7f]|[A-Za-z]+|[^A-Za-z]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(list(whole))
    return tokenizer


def llm_config(params: TinyBase, tokenizer: Tokenizer) -> dict[str, Any]:
    """A Qwen3 configuration of a few hundred thousand parameters."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": params.llm_dim,
        "intermediate_size": 3 * params.llm_dim,
        "num_hidden_layers": params.llm_layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": params.llm_dim // 4,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        # funasr builds the language model from this file alone, so that decoding stops here.
        "bos_token_id": tokenizer.token_to_id(PAD),
        "eos_token_id": tokenizer.token_to_id(END),
        "pad_token_id": tokenizer.token_to_id(PAD),
    }


def model_config(params: TinyBase) -> dict[str, Any]:
    """A Fun-ASR-Nano config.yaml, without dropout: there is no time to overfit."""
    return {
        "model": "FunASRNano",
        "model_conf": {"length_normalized_loss": True},
        "audio_encoder": "SenseVoiceEncoderSmall",
        "audio_encoder_conf": {
            "output_size": params.encoder_dim,
            "attention_heads": 4,
            "linear_units": 4 * params.encoder_dim,
            # One block of the total comes after the intermediate norm.
            "num_blocks": params.encoder_layers - 1,
            "tp_blocks": 1,
            "dropout_rate": 0.0,
            "positional_dropout_rate": 0.0,
            "attention_dropout_rate": 0.0,
            "input_layer": "pe",
            "normalize_before": True,
            "kernel_size": 11,
            "sanm_shfit": 0,  # upstream's spelling
            "selfattention_layer_type": "sanm",
            "freeze": False,
        },
        "llm": "Qwen3",
        "llm_conf": {
            "hub": "hf",
            "freeze": False,
            "llm_dtype": "fp32",
            "init_param_path": LLM_DIRECTORY,
        },
        "audio_adaptor": "Transformer",
        "audio_adaptor_conf": {
            "downsample_rate": 8,
            "use_low_frame_rate": True,
            "ffn_dim": 4 * params.encoder_dim,
            "llm_dim": params.llm_dim,
            "encoder_dim": params.encoder_dim,
            "n_layer": 1,
            "attention_heads": 4,
            "freeze": False,
        },
        "frontend": "WavFrontend",
        "frontend_conf": {
            "fs": 16000,
            "window": "hamming",
            "n_mels": 80,
            "frame_length": 25,
            "frame_shift": 10,
            "lfr_m": 7,
            "lfr_n": 6,
            "dither": 0.0,
        },
        "tokenizer": "HuggingfaceTokenizer",
        "tokenizer_conf": {"init_param_path": LLM_DIRECTORY},
    }
