"""A small phase of training: ten utterances of noise and a model with dropout."""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import soundfile as sf
from ruamel.yaml import YAML

from galgame_asr.core import utterances
from galgame_asr.shards import tar
from tests import nanos
from tests.models import TEXTS, build, build_whisper, noise

ALL = {"encoder": False, "adaptor": False, "llm": False}
PHASES = {
    "adaptor": {"encoder": True, "adaptor": False, "llm": True},
    "encoder": {"encoder": False, "adaptor": False, "llm": True},
    "full": ALL,
}
LORA = {"rank": 2, "alpha": 4, "dropout": 0.1}
WHISPER_ALL = {"encoder": False, "decoder": False}
# What phases of each family change in `values`, by what learns in them: (family, change).
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{part: ("fun_asr_nano", {"freeze": frozen}) for part, frozen in PHASES.items()},
    **{
        f"{part}-LoRA": ("fun_asr_nano", {"freeze": frozen | {"llm": True}, "lora": LORA})
        for part, frozen in PHASES.items()
    },
    "whisper-full": ("whisper", {"freeze": WHISPER_ALL}),
    "whisper-DoRA": (
        "whisper",
        {"freeze": {"encoder": True, "decoder": True}, "lora": LORA | {"dora": True}},
    ),
}


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
    utterances.write(root / "train.parquet", table[:8])
    utterances.write(root / "dev.parquet", table[8:])
    return table


def write_model(directory: Path) -> Path:
    """A model with dropout, so that restored random state matters."""
    nanos.add_ctc(build(directory), layers=1)
    config = YAML(typ="safe").load(directory / "config.yaml")
    config["audio_encoder_conf"]["dropout_rate"] = 0.1
    YAML().dump(config, directory / "config.yaml")
    return directory


def write_whisper(directory: Path) -> Path:
    """A Whisper with dropout, as above."""
    build_whisper(directory)
    file = directory / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"dropout": 0.1}))
    return directory


def values(family: str = "fun_asr_nano", **change: Any) -> dict[str, Any]:
    """Values of a phase of 4 epochs x 3 steps."""
    own: dict[str, dict[str, Any]] = {
        "fun_asr_nano": {"freeze": ALL, "prompts": [{"language": "日文"}], "ctc_weight": 0.3},
        "whisper": {"freeze": WHISPER_ALL, "prompts": [{"language": "ja"}]},
    }
    return {
        "init": "base", "lr": 1e-3, "epochs": 4, "mix": {"vn": 1.0}, "checkpoints": [50, 100],
    } | own[family] | change  # fmt: skip
