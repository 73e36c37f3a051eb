"""A repository in small, for what needs data and a base where there is no finished run.

params.yaml with small values, and two corpora of made speech that the real stages have taken in
and built the default's base from, in the steps that one epoch of them is.

    python -m benchmarks.small FOLDER DEVICE UTTERANCES
"""

import random
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from benchmarks.corpus import encode, sentence, speech
from benchmarks.gpu import ROOT, environment
from galgame_asr.core.paths import RAW
from galgame_asr.shards import folder as shards
from galgame_asr.shards.folder import Utterance

CORPORA = ("vn", "reading")
CODEC = "ogg"
UTTERANCES = 80
# Like the default's lines: of two and a pause, `train_data.write_true` makes one of 4 to 6 s.
SHORTEST_S, LONGEST_S = 1.0, 1.9
LETTERS = range(6, 12)


def make(folder: Path, device: str, count: int = UTTERANCES) -> None:
    """Write the repository and run its stages up to the base.

    Args:
        folder: where; what an interrupted call left there is taken up.
        device: compute.device.
        count: utterances of each corpus.

    Raises:
        subprocess.CalledProcessError: a stage failed.
    """
    write_params(folder, device)
    for number, corpus in enumerate(CORPORA):
        directory = folder / RAW / corpus
        written = shards.write(
            directory, corpus, partial(utterances, count, number), shard_size=count
        )
        shards.write_list(directory, written)
        stage(folder, "manifest", corpus)
    stage(folder, "split")
    stage(folder, "mix", "base", "tiny")
    stage(folder, "build", "tiny")


def write_params(folder: Path, device: str) -> None:
    """Write the committed params.yaml with small values and this compute.device."""
    yaml = YAML()
    values: Any = yaml.load(ROOT / "params.yaml")
    values["compute"]["device"] = device
    values["split"] |= {"dev": 0.15, "test": 0.2, "min_test": 1}
    values["base"]["built"]["tiny"]["pretrain"]["epochs"] = 1
    for phase in values["train"]["phases"].values():
        phase["epochs"] = 1
    values["train"]["common"]["log_steps"] = 2
    values["decode"]["max_new_tokens"] = 12
    yaml.dump(values, folder / "params.yaml")


def utterances(count: int, seed: int, start: int) -> Iterator[Utterance]:
    """Made speech with made texts, from a number on; the same seed gives the same."""
    noise, letters = np.random.default_rng([seed, start]), random.Random(seed)
    for number in range(start, count):
        audio = encode(speech(noise.uniform(SHORTEST_S, LONGEST_S), noise), CODEC)
        yield Utterance(f"{number:04}", CODEC, audio, sentence(letters, letters.choice(LETTERS)))


def stage(folder: Path, name: str, *arguments: str) -> None:
    """Run a stage in a repository, without DVC.

    Raises:
        subprocess.CalledProcessError: it failed; what it said went to standard error.
    """
    words = [sys.executable, "-m", f"galgame_asr.stages.{name}", *arguments]
    subprocess.run(words, cwd=folder, env=environment(), check=True)


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
