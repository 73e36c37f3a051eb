"""The architecture of FunAudioLLM/Fun-ASR-Nano-2512 without its weights.

For planning and benchmarks. The dimensions are those of the published config.yaml, as
FunASR's trainer copies it into its results
(https://github.com/Vanilla-Yukirin/Fun-ASR-Galgame, outputs/config.yaml), of the
config.json of Qwen/Qwen3-0.6B, and, for the CTC head's 60,515 tokens, the default of
funasr.models.fun_asr_nano.model. Together they have the published 868.858 M parameters,
which only the file on ModelScope holds (https://github.com/modelscope/FunASR/issues/3496).
"""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from galgame_asr.base.tiny_fun_asr_nano import configuration, write_json

REPO = "FunAudioLLM/Fun-ASR-Nano-2512"
LLM_DIRECTORY = "Qwen3-0.6B"
# Of encoder, adaptor and language model.
PARAMETERS = 829_791_840
# Bytes and tensors of model.pt on each hub.
FILE_BYTES = {"huggingface": 1_971_149_431, "modelscope": 2_127_426_538}
NUM_TENSORS = {"huggingface": 1261, "modelscope": 1347}
WITHOUT_BRANCH = "huggingface"

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
    where["file_path_metas"]["ctc_tokenizer_conf"] = {"vocab_path": "multilingual.tiktoken"}
    write_json(directory / "configuration.json", where)
