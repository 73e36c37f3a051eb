"""Files of a Fun-ASR-Nano that is made here, beside its weights and their configuration."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from galgame_asr.families.fun_asr_nano.family import END, WEIGHTS

PAD = "<|endoftext|>"
SPECIAL_TOKENS = [PAD, "<|im_start|>", END, "<|startofspeech|>", "<|endofspeech|>"]


def save_tokenizer(tokenizer: Tokenizer, directory: Path) -> None:
    """Write a tokenizer as transformers' AutoTokenizer loads it."""
    tokenizer.save(str(directory / "tokenizer.json"))
    write_json(
        directory / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "pad_token": PAD},
    )


def configuration(llm_directory: str) -> dict[str, Any]:
    """A configuration.json, which tells funasr where the files of a model directory are."""
    return {
        "framework": "pytorch",
        "task": "auto-speech-recognition",
        "model": {"type": "funasr"},
        "file_path_metas": {
            "init_param": WEIGHTS,
            "config": "config.yaml",
            "tokenizer_conf": {"init_param_path": llm_directory},
            "llm_conf": {"init_param_path": llm_directory},
        },
    }


def write_json(file: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file, indented."""
    file.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
