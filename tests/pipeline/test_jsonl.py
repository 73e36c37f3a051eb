"""FunASR's own trainer can read what is written for it."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import soundfile as sf

from galgame_asr.core.reader import ShardReader
from tests.pipeline.conftest import Workspace

# FunASR's index leaves rows out that it cannot use; in a process without this project.
INDEX = """
import pkgutil, sys
pkgutil.walk_packages = lambda *_a, **_k: iter(())  # funasr imports all of itself, for 20 s
from funasr.datasets.openai_datasets.index_ds import OpenAIIndexDSJsonl
print(len(OpenAIIndexDSJsonl(sys.argv[1])))
"""


def test_a_set_as_funasr_reads_it(workspace: Workspace) -> None:
    """Every row is in FunASR's index; audio, text, prompt and lengths are those of the set."""
    root = workspace.root
    workspace.run("galgame-asr", "jsonl", "dev", "funasr/dev", "--prompt", "japanese")
    rows = pd.read_parquet(root / "data/split/dev.parquet").to_dict("records")
    lines = [
        json.loads(line) for line in (root / "funasr/dev/utterances.jsonl").read_text().splitlines()
    ]
    reader = ShardReader(root / "data/raw")
    assert len(lines) == len(rows) > 0
    for row, line in zip(rows, lines, strict=True):
        _, user, assistant = line["messages"]
        prompt, _, path = user["content"].partition("<|startofspeech|>!")
        assert prompt == "语音转写成日文："
        assert assistant["content"] == row["text"]
        audio, rate_hz = sf.read(root / path.removesuffix("<|endofspeech|>"), dtype="float32")
        assert rate_hz == 16_000
        np.testing.assert_allclose(audio, reader.read_row(row), atol=1 / 32768)
        assert line["speech_length"] == round(row["duration_s"] * 100)
        assert line["text_length"] > 0
    done = subprocess.run(
        [sys.executable, "-c", INDEX, "funasr/dev/utterances.jsonl"],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout.split()[-1]) == len(rows)
    _refetch(workspace, {row["id"]: row["text"] for row in rows})
    again = workspace.run(
        "galgame-asr", "jsonl", "dev", "funasr/dev", "--prompt", "japanese", check=False
    )
    assert again.returncode == 1
    assert "DataError: funasr/dev exists" in again.stdout


def _refetch(workspace: Workspace, texts: dict[str, str]) -> None:
    """The list is a corpus of kind `folder`, too: of the same ids, texts and samples."""

    def add(values: dict[str, Any]) -> None:
        path = "funasr/dev/utterances.jsonl"
        values["corpora"]["again"] = {"kind": "folder", "path": path, "shard_size": 100}

    workspace.edit(add)
    workspace.stage("fetch", "again")
    workspace.stage("manifest", "again")
    rows = pd.read_parquet(workspace.root / "data/manifest/again.parquet")
    assert dict(zip(rows["id"], rows["text"], strict=True)) == texts
    reader = ShardReader(workspace.root / "data/raw")
    for row in rows.to_dict("records"):
        number = list(texts).index(row["id"])
        audio, _ = sf.read(workspace.root / f"funasr/dev/audio/{number:08}.wav", dtype="float32")
        np.testing.assert_array_equal(reader.read_row(row), audio)
