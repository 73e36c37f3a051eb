"""Models and utterances that training is measured with, at two sizes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from ruamel.yaml import YAML
from torch import nn

from benchmarks.corpus import CORPUS, write_rows
from galgame_asr.base import fun_asr_nano_2512
from galgame_asr.base.fun_asr_nano_files import save_tokenizer
from galgame_asr.base.tiny_fun_asr_nano import train_tokenizer
from galgame_asr.core import utterances
from galgame_asr.core.paths import MODELS, RAW, SPLIT
from galgame_asr.core.reader import SAMPLE_RATE_HZ, ShardReader
from galgame_asr.experiment import jsonl
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.fun_asr_nano.weights import read_config

PROMPT = Prompt(language="日文")
# What is one token in Qwen3's vocabulary: the prompt then has 26 tokens, as there.
QWEN_TOKENS = [
    *("system", "user", "assistant", " assistant", "You", " are", " a", " helpful", ".", "\n"),
    *("语音", "转", "写", "成", "日", "文", "："),
]
SHORTEST_S, LONGEST_S = 4.0, 6.0


def write_tiny(directory: Path) -> None:
    """The model and the lines of the embedded default."""
    shutil.copytree(MODELS / "base", directory / "model", copy_function=shutil.copyfile)
    rows, reader = _lines()
    audio = [reader.read_row(row) for row in rows.to_dict("records")]
    _write_rows(directory, audio, rows["text"].tolist())


def write_true(directory: Path) -> None:
    """A model of the published dimensions, and utterances of the galgame corpus's length.

    Its mean is 5.1 s. The default's lines last 1.5 s and are spoken without a break, so
    that two of them and a pause have the length and the tokens of one of there.
    """
    rows, reader = _lines()
    texts, audio = [], []
    draw = np.random.default_rng(0)
    for number in range(0, len(rows) - 1, 2):
        pair = rows.iloc[number : number + 2]
        lines = [reader.read_row(row) for row in pair.to_dict("records")]
        pause = np.zeros(round(draw.uniform(SHORTEST_S, LONGEST_S) * SAMPLE_RATE_HZ), np.float32)
        spoken = sum(len(line) for line in lines)
        audio.append(np.concatenate([lines[0], pause[spoken:], lines[1]]))
        texts.append("".join(pair["text"]))
    write_published(directory / "model", texts, layers=None)
    _write_rows(directory, audio, texts)


def write_published(directory: Path, texts: list[str], *, layers: int | None) -> nn.Module:
    """Write a model directory of the published dimensions with random weights in float32.

    Without dropout, so that losses can be compared, and without the CTC branch.

    Args:
        directory: must not exist.
        texts: what its tokenizer, far smaller than the vocabulary, is trained on.
        layers: of encoder and language model each, instead of the published ones.

    Returns:
        FunASR's own model with these weights.
    """
    from funasr.models.fun_asr_nano.model import (  # noqa: PLC0415  after the quick import
        FunASRNano,
    )

    fun_asr_nano_2512.write_config(directory)
    llm_directory = directory / fun_asr_nano_2512.LLM_DIRECTORY
    save_tokenizer(train_tokenizer(texts, 600, whole=QWEN_TOKENS), llm_directory)
    config = YAML(typ="safe").load(directory / "config.yaml")
    del config["ctc_decoder"]
    config["llm_conf"]["llm_dtype"] = "fp32"
    encoder = config["audio_encoder_conf"]
    encoder |= dict.fromkeys((key for key in encoder if key.endswith("dropout_rate")), 0.0)
    if layers is not None:
        encoder |= {"num_blocks": layers, "tp_blocks": layers}
        llm_file = llm_directory / "config.json"
        llm = json.loads(llm_file.read_text()) | {"num_hidden_layers": layers}
        llm_file.write_text(json.dumps(llm))
    YAML().dump(config, directory / "config.yaml")
    torch.manual_seed(0)
    model: nn.Module = FunASRNano(**read_config(directory), input_size=560, vocab_size=-1)
    torch.save({"state_dict": model.state_dict()}, directory / "model.pt")
    return model


def _lines() -> tuple[pd.DataFrame, ShardReader]:
    rows = utterances.read(SPLIT / "train.parquet")
    return rows[rows["corpus"] == CORPUS].reset_index(drop=True), ShardReader(RAW)


def _write_rows(directory: Path, audio: list[NDArray[np.float32]], texts: list[str]) -> None:
    """Write utterances as our trainer reads them, rows.parquet and a shard, and as FunASR's.

    Both get the same 16-bit samples: read from FLAC here, from funasr/audio/*.wav there.
    """
    # Written with 16 bits, samples below a half are read back as they were.
    rows = write_rows(directory, [samples / np.float32(2) for samples in audio], texts, "flac")
    reader = ShardReader(directory / "raw")
    jsonl.write(rows, reader, directory / "model", PROMPT, directory / "funasr")
