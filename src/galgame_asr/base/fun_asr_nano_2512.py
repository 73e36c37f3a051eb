"""The architecture of FunAudioLLM/Fun-ASR-Nano-2512, and models of it with random weights.

For planning, rehearsals and benchmarks. The dimensions are those of the published config.yaml, as
FunASR's trainer copies it into its results
(https://github.com/Vanilla-Yukirin/Fun-ASR-Galgame, outputs/config.yaml), of the
config.json of Qwen/Qwen3-0.6B, and, for the CTC head's 60,515 tokens, the default of
funasr.models.fun_asr_nano.model. Together they have the published 868.858 M parameters,
which only the file on ModelScope holds (https://github.com/modelscope/FunASR/issues/3496).
"""

import base64
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from galgame_asr.base import vocabulary
from galgame_asr.base.fun_asr_nano_files import (
    SPECIAL_TOKENS,
    configuration,
    save_tokenizer,
    write_json,
)
from galgame_asr.families.fun_asr_nano.family import WEIGHTS
from galgame_asr.families.fun_asr_nano.network import Model
from galgame_asr.families.fun_asr_nano.weights import read_config, save_weights

REPO = "FunAudioLLM/Fun-ASR-Nano-2512"
LLM_DIRECTORY = "Qwen3-0.6B"
# Of encoder, adaptor and language model.
PARAMETERS = 829_791_840
# Bytes and tensors of model.pt on each hub.
FILE_BYTES = {"huggingface": 1_971_149_431, "modelscope": 2_127_426_538}
NUM_TENSORS = {"huggingface": 1261, "modelscope": 1347}
WITHOUT_BRANCH = "huggingface"
# Of Qwen3's tokenizer: before its special tokens, of which the first is <|endoftext|>.
NUM_MERGED = 151_643
# The CTC branch's: what its 60,515 tokens are without the special ones (funasr's
# models/sense_voice/whisper_lib/tokenizer.py).
CTC_TOKENIZER, NUM_CTC_MERGED = "multilingual.tiktoken", 58_836

CONFIG: dict[str, Any] = {
    "model": "FunASRNano",
    "model_conf": {"lsm_weight": 0.1, "length_normalized_loss": True},
    "audio_encoder": "SenseVoiceEncoderSmall",
    "audio_encoder_conf": {
        "output_size": 512,
        "attention_heads": 4,
        "linear_units": 2048,
        "num_blocks": 50,
        "tp_blocks": 20,
        "dropout_rate": 0.1,
        "positional_dropout_rate": 0.1,
        "attention_dropout_rate": 0.1,
        "input_layer": "pe",
        "pos_enc_class": "SinusoidalPositionEncoder",
        "normalize_before": True,
        "kernel_size": 11,
        "sanm_shfit": 0,  # upstream's spelling
        "selfattention_layer_type": "sanm",
        "freeze": True,
    },
    "llm": "Qwen3-0.6b",
    "llm_conf": {
        "hub": "hf",
        "freeze": True,
        "llm_dtype": "bf16",
        "init_param_path": LLM_DIRECTORY,
    },
    "audio_adaptor": "Transformer",
    "audio_adaptor_conf": {
        "downsample_rate": 1,
        "use_low_frame_rate": True,
        "ffn_dim": 2048,
        "llm_dim": 1024,
        "encoder_dim": 512,
        "n_layer": 2,
        "freeze": False,
    },
    "ctc_decoder": "Transformer",
    "detach_ctc_decoder": True,
    "ctc_decoder_conf": {
        "downsample_rate": 1,
        "ffn_dim": 2048,
        "llm_dim": 512,
        "encoder_dim": 512,
        "n_layer": 5,
        "freeze": False,
    },
    "ctc_weight": 1.0,
    "ctc_conf": {
        "dropout_rate": 0.0,
        "ctc_type": "builtin",
        "reduce": True,
        "ignore_nan_grad": True,
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
        "cmvn_file": None,
    },
    "dataset_conf": {
        "ctc_tokenizer": "SenseVoiceTokenizer",
        "ctc_target_normalize": True,
        "ctc_tokenizer_conf": {
            "vocab_path": None,
            "is_multilingual": True,
            "num_languages": 8749,
        },
    },
    "tokenizer": "HuggingfaceTokenizer",
    "tokenizer_conf": {"init_param_path": LLM_DIRECTORY},
}

LLM_CONFIG: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": 151_936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_act": "silu",
    "max_position_embeddings": 40_960,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "tie_word_embeddings": True,
    "bos_token_id": 151_643,
    "eos_token_id": 151_645,
}


def describe(source: str) -> str:
    """Which of the published parameters the file on a hub has."""
    if source == WITHOUT_BRANCH:
        return (
            f"model.pt on the Hugging Face hub: {NUM_TENSORS[source]} tensors, none of the CTC "
            f"branch; `source: modelscope` has all {NUM_TENSORS['modelscope']}"
        )
    return f"model.pt on ModelScope: {NUM_TENSORS[source]} tensors, the CTC branch among them"


def write_config(directory: Path, *, source: str = "modelscope") -> None:
    """Write config.yaml, configuration.json and Qwen3-0.6B/config.json into a directory.

    For a model directory in FunASR's layout, a tokenizer in Qwen3-0.6B and model.pt are
    missing. config.yaml describes the CTC branch, as on both hubs, and says whether the file
    on the hub `source` has its tensors.
    """
    (directory / LLM_DIRECTORY).mkdir(parents=True, exist_ok=True)
    config = CONFIG | {"branch_in_file": source != WITHOUT_BRANCH}
    YAML().dump(config, directory / "config.yaml")
    write_json(directory / LLM_DIRECTORY / "config.json", LLM_CONFIG)
    where = configuration(LLM_DIRECTORY)
    where["file_path_metas"]["ctc_tokenizer_conf"] = {"vocab_path": CTC_TOKENIZER}
    write_json(directory / "configuration.json", where)


def build(directory: Path, *, source: str, seed: int) -> None:
    """Write a model directory of the published size with random weights.

    Types of tensors are as published: the language model's bf16, the others float32.
    Tokenizers are of the published sizes, and made up.

    Args:
        directory: in FunASR's layout; need not exist.
        source: the hub whose file has these tensors: with the CTC branch or without.
        seed: of the weights.
    """
    write_config(directory, source=source)
    save_tokenizer(build_tokenizer(), directory / LLM_DIRECTORY)
    _write_ctc_tokenizer(directory / CTC_TOKENIZER)
    config = read_config(directory)
    torch.manual_seed(seed)
    frontend = config["frontend_conf"]
    branch = {"ctc_decoder": config.pop("ctc_decoder")}
    model = Model(**config, input_size=frontend["n_mels"] * frontend["lfr_m"], vocab_size=-1)
    if source != WITHOUT_BRANCH:
        model.add_ctc_branch(config | branch, None, 0.0)
    model.llm.to(torch.bfloat16)
    save_weights(model, directory / WEIGHTS)


def build_tokenizer() -> Tokenizer:
    """A tokenizer with as many tokens as Qwen3's, and its pattern of words."""
    tokens, pairs = vocabulary.spelled(NUM_MERGED)
    tokenizer = Tokenizer(models.BPE(vocab=tokens, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    return tokenizer


def _write_ctc_tokenizer(file: Path) -> None:
    """Write a file as tiktoken's: a token in base64 and its rank in each line."""
    tokens = [bytes([byte]) for byte in range(256)]
    tokens += [one + other for one, other in vocabulary.merges(NUM_CTC_MERGED - len(tokens))]
    lines = (f"{base64.b64encode(t).decode()} {rank}\n" for rank, t in enumerate(tokens))
    file.write_text("".join(lines))
