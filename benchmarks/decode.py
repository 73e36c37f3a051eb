"""Decoding: ours in batches against `funasr.AutoModel.generate`, one utterance at a time.

The same model directory, utterances and limit of tokens; silence and clips of 0.1 s
and 30 s among them. Needs a finished `dvc repro`.

    python -m benchmarks.decode [--model models/full/p100] [--frames 2800]
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from funasr import AutoModel  # before our own import of it, which leaves most of it out
from numpy.typing import NDArray

from galgame_asr.core import utterances
from galgame_asr.core.paths import RAW, SPLIT
from galgame_asr.core.reader import SAMPLE_RATE_HZ, ShardReader
from galgame_asr.families.common.batching import by_length, num_frames
from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano

MAX_TOKENS = 48
PROMPT = Prompt(language="日文")


def main() -> None:
    """Decode the test set both ways; print the speeds and how many texts are equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/full/p100"))
    parser.add_argument("--frames", type=int, default=2800, help="per batch: 16 utterances")
    options = parser.parse_args()
    torch.set_num_threads(1)
    audio = test_set()
    seconds = sum(len(samples) for samples in audio) / SAMPLE_RATE_HZ
    family = fun_asr_nano.load(options.model)

    frames = num_frames(np.array([len(samples) / SAMPLE_RATE_HZ for samples in audio]))
    batches = by_length(np.argsort(frames, kind="stable"), frames, options.frames)
    ours = [""] * len(audio)
    family.transcribe([family.features(audio[0])], PROMPT, Search([1]))  # warm up
    start = time.process_time()
    for batch in batches:
        features = [family.features(audio[number]) for number in batch]
        search = Search([MAX_TOKENS] * len(batch))
        for number, found in zip(batch, family.transcribe(features, PROMPT, search), strict=True):
            ours[number] = found.text
    own_s = time.process_time() - start

    theirs, their_s = by_funasr(options.model, audio)
    equal = sum(first == second for first, second in zip(ours, theirs, strict=True))
    print(f"{len(audio)} utterances, {seconds:.0f} s of audio, one thread, {len(batches)} batches")
    print(f"this project          {own_s:7.2f} CPU s, {seconds / own_s:6.1f} x real time")
    print(f"AutoModel.generate    {their_s:7.2f} CPU s, {seconds / their_s:6.1f} x real time")
    print(f"ratio {their_s / own_s:.1f}; equal texts: {equal} of {len(audio)}")
    for number, pair in enumerate(zip(ours, theirs, strict=True)):
        if pair[0] != pair[1]:
            print(number, *pair, sep="\n  ")


def test_set() -> list[NDArray[np.float32]]:
    """The test set in domain, and what is hard: silence, 0.1 s, 30 s."""
    reader = ShardReader(RAW)
    rows = utterances.read(SPLIT / "test.parquet").to_dict("records")
    audio = [reader.read_row(row) for row in rows]
    long = np.resize(np.concatenate(audio), 30 * SAMPLE_RATE_HZ)
    silence = np.zeros(2 * SAMPLE_RATE_HZ, np.float32)
    return [*audio, silence, audio[0][: SAMPLE_RATE_HZ // 10], long]


def by_funasr(model: Path, audio: list[NDArray[np.float32]]) -> tuple[list[str], float]:
    """Texts and CPU seconds of funasr, without its loading."""
    theirs = AutoModel(
        model=str(model), device="cpu", disable_update=True, disable_pbar=True, ncpu=1,
        disable_log=True,
    )  # fmt: skip

    def generate(samples: NDArray[np.float32], max_tokens: int) -> str:
        text: str = theirs.generate(
            input=[torch.from_numpy(samples)],
            language=PROMPT.language,
            max_length=max_tokens,
            batch_size=1,
        )[0]["text"]
        return text

    generate(audio[0], 1)  # warm up
    start = time.process_time()
    texts = [generate(samples, MAX_TOKENS) for samples in audio]
    return texts, time.process_time() - start


if __name__ == "__main__":
    main()
