"""Very small models of funasr with random weights, as plain directories for its AutoModel."""

import contextlib
import importlib
import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from ruamel.yaml import YAML

from galgame_asr.families.fun_asr_nano import funasr_parts  # noqa: F401  before all of funasr
from tests.models import TEXTS

FRONTEND = {
    "frontend": "WavFrontend",
    "frontend_conf": {
        "fs": 16000, "window": "hamming", "n_mels": 80, "frame_length": 25, "frame_shift": 10,
        "lfr_m": 7, "lfr_n": 6, "dither": 0.0,
    },
}  # fmt: skip
ENCODER = {"output_size": 16, "attention_heads": 2, "linear_units": 32, "num_blocks": 2}
SENSE_VOICE = {
    "model": "SenseVoiceSmall",
    "encoder": "SenseVoiceEncoderSmall",
    "encoder_conf": ENCODER | {"tp_blocks": 1, "kernel_size": 5, "sanm_shfit": 0},
    "model_conf": {"length_normalized_loss": True},
    "tokenizer": "SentencepiecesTokenizer",
    "tokenizer_conf": {"bpemodel": "bpe.model"},
}
PARAFORMER = {
    "model": "Paraformer",
    "encoder": "SANMEncoder",
    "encoder_conf": ENCODER | {"input_layer": "pe", "kernel_size": 5, "sanm_shfit": 0},
    "decoder": "ParaformerSANMDecoder",
    "decoder_conf": {
        "attention_heads": 2, "linear_units": 32, "num_blocks": 2, "att_layer_num": 2,
        "kernel_size": 5, "sanm_shfit": 0,
    },
    "predictor": "CifPredictorV2",
    "predictor_conf": {"idim": 16, "threshold": 1.0, "l_order": 1, "r_order": 1},
    "model_conf": {"predictor_weight": 1.0},
    "tokenizer": "CharTokenizer",
    "tokenizer_conf": {"token_list": "tokens.json", "unk_symbol": "<unk>"},
}  # fmt: skip
MARK = "<|ja|>"
CONFIGS: dict[str, dict[str, Any]] = {"sense_voice": SENSE_VOICE, "paraformer": PARAFORMER}


def build(directory: Path, name: str, *, seed: int = 0) -> Path:
    """Write a model that says something else about other audio."""
    directory.mkdir(parents=True)
    config = CONFIGS[name] | FRONTEND
    _tokens(directory, name)
    YAML().dump(config, directory / "config.yaml")
    files = {"init_param": "model.pt", "config": "config.yaml"}
    ((key, file),) = [
        (key, value) for key, value in config["tokenizer_conf"].items() if key != "unk_symbol"
    ]
    metas = {**files, "tokenizer_conf": {key: file}}
    (directory / "configuration.json").write_text(json.dumps({"file_path_metas": metas}))
    with contextlib.redirect_stdout(io.StringIO()):
        funasr: Any = importlib.import_module("funasr")
        funasr.import_submodules("funasr")
    auto_model: Any = importlib.import_module("funasr.auto.auto_model")
    conf = {**config["tokenizer_conf"], key: str(directory / file)}
    torch.manual_seed(seed)
    model, _ = auto_model.AutoModel.build_model(
        **config | {"tokenizer_conf": conf, "device": "cpu", "seed": seed, "ncpu": 1}
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
        if name == "sense_voice":  # a mark takes the place of what is said first
            pieces, out = model_tokens(directory), model.ctc.ctc_lo.weight
            out[pieces.PieceToId(MARK)] = 1.1 * out[pieces.PieceToId("ー")]
    torch.save(model.state_dict(), directory / "model.pt")
    return directory


def model_tokens(directory: Path) -> Any:
    """The tokenizer of SenseVoice."""
    return sentencepiece.SentencePieceProcessor(model_file=str(directory / "bpe.model"))


def _tokens(directory: Path, name: str) -> None:
    letters = sorted(set("".join(TEXTS)))
    if name == "paraformer":
        tokens = ["<blank>", "<s>", "</s>", *letters, "<unk>"]
        (directory / "tokens.json").write_text(json.dumps(tokens, ensure_ascii=False))
        return
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_prefix=str(directory / "bpe"), model_type="char",
        vocab_size=len(letters) + 5, user_defined_symbols=[MARK], minloglevel=2,
        hard_vocab_limit=False,
    )  # fmt: skip
