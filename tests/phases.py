"""A small phase of training: ten utterances of noise and a model with dropout."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import soundfile as sf
from ruamel.yaml import YAML

from galgame_asr import manifest
from galgame_asr.audio import tar
from tests.models import TEXTS, build, noise

ALL = {"encoder": False, "adaptor": False, "llm": False}
PHASES = {
    "adaptor": {"encoder": True, "adaptor": False, "llm": True},
    "encoder": {"encoder": False, "adaptor": False, "llm": True},
    "full": ALL,
}
LORA = {"rank": 2, "alpha": 4, "dropout": 0.1}


def write_rows(root: Path) -> pd.DataFrame:
    """Write a shard and the tables of a split below `root`: 8 rows to train on, 2 of dev."""
    files = []
    for number in range(10):
        buffer = io.BytesIO()
        sf.write(buffer, noise(0.4 + number / 10, number), 16_000, format="FLAC")
        files.append((f"u{number}.flac", buffer.getvalue()))
    tar.write(root / "vn.tar", files)
    members = list(tar.members(root / "vn.tar"))
    table = pd.DataFrame(
        {
            "id": [member.name.removesuffix(".flac") for member in members],
            "corpus": "vn",
            "shard": "vn.tar",
            "offset": [member.offset for member in members],
            "size": [member.size for member in members],
            "text": [TEXTS[number % 4] for number in range(10)],
            "duration_s": [0.4 + number / 10 for number in range(10)],
            "sample_rate_hz": 16_000,
            "audio_hash": "",
            "upstream_set": None,
            "flags": [[] for _ in range(10)],
        }
    )
    manifest.write(root / "train.parquet", table[:8])
    manifest.write(root / "dev.parquet", table[8:])
    return table


def write_model(directory: Path) -> Path:
    """A model with dropout, so that restored random state matters."""
    build(directory)
    config = YAML(typ="safe").load(directory / "config.yaml")
    config["audio_encoder_conf"]["dropout_rate"] = 0.1
    YAML().dump(config, directory / "config.yaml")
    return directory


def values(**change: Any) -> dict[str, Any]:
    """Values of a phase of 4 epochs x 3 steps."""
    return {
        "init": "base", "freeze": ALL, "lr": 1e-3, "epochs": 4, "mix": {"vn": 1.0},
        "prompts": [{"language": "日文"}], "checkpoints": [50, 100], "ctc_weight": 0.3,
    } | change  # fmt: skip
