"""Decoding: ours in batches against `funasr.AutoModel.generate`, one utterance at a time.

The same model directory, utterances and limit of tokens; silence and clips of 0.1 s
and 30 s among them. Needs a finished `dvc repro`. Dims `true` takes a model of the published
dimensions with random weights instead, which says as many tokens as it may.

    python -m benchmarks.decode [--model models/full/p100] [--dims tiny|true] [--frames 2800]
        [--precisions float32 bf16]
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from funasr import AutoModel  # before our own import of it, which leaves most of it out

from benchmarks.train_data import PROMPT, write_published
from galgame_asr.core import utterances
from galgame_asr.core.params import load
from galgame_asr.core.paths import RAW, SPLIT
from galgame_asr.core.reader import SAMPLE_RATE_HZ, ShardReader
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.decoding.segments import Audio
from galgame_asr.decoding.transcribe import Decoder, Task
from galgame_asr.families.common import compute
from galgame_asr.families.common.compute import Precision
from galgame_asr.families.common.params import ComputeParams

MAX_TOKENS = 48
NO_LIMIT = 1e6  # tokens a second, so that both sides have the same limit
PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    """Decode the test set both ways; print the speeds and how many texts are equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/full/p100"))
    parser.add_argument("--dims", choices=("tiny", "true"), default="tiny")
    parser.add_argument("--frames", type=int, default=2800, help="per batch: 16 utterances")
    parser.add_argument("--utterances", type=int, help="so many of the test set; default: all")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["float32"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    audio = test_set(options.utterances)
    with tempfile.TemporaryDirectory() as temporary:
        model = options.model
        if options.dims == "true":
            texts = list(utterances.read(SPLIT / "train.parquet")["text"])
            model = Path(temporary) / "model"
            write_published(model, texts, layers=None)
        for precision in options.precisions:
            compare(model, audio, options.frames, precision)


def compare(model: Path, audio: list[Audio], frames: int, precision: Precision) -> None:
    """Measure both and print three lines, and the texts that differ."""
    params = dataclasses.replace(
        load(DecodeParams, "decode"), max_new_tokens=MAX_TOKENS, max_tokens_per_s=NO_LIMIT,
        beams=1, no_repeat_ngram_size=0,
    )  # fmt: skip
    asked = ComputeParams(device="auto", precision=precision, cpu_threads=1, reproducible=False)
    task = Task("fun_asr_nano", model, RAW, PROMPT, params, asked, frames)
    compute.set_up(asked)
    decoder = Decoder(task, torch.device(DEVICE))
    ours, own = timed(lambda piece: [one.text for one in decoder.pieces(piece)], audio)
    torch.backends.cuda.enable_cudnn_sdp(True)  # torch's default, with which AutoModel runs
    theirs, their = timed(by_funasr(model, precision), audio)
    seconds = sum(len(samples) for samples in audio) / SAMPLE_RATE_HZ
    equal = sum(first == second for first, second in zip(ours, theirs, strict=True))
    print(f"{len(audio)} utterances, {seconds:.0f} s of audio, one thread, {DEVICE}, {precision}")
    for name, cost in (("this project", own), ("AutoModel.generate", their)):
        print(
            f"{name:20}{cost.cpu_s:8.2f} CPU s, {cost.wall_s:8.2f} s: "
            f"{seconds / cost.wall_s:6.1f} x real time"
        )
    print(
        f"ratio {their.cpu_s / own.cpu_s:.1f} in CPU time, {their.wall_s / own.wall_s:.1f} in wall "
        f"time; equal texts: {equal} of {len(audio)}"
    )
    if precision == "float32":
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            if pair[0] != pair[1]:
                print(number, *pair, sep="\n  ")


@dataclass(frozen=True)
class Took:
    """Seconds of decoding, without loading."""

    cpu_s: float
    wall_s: float


def timed(decode: Callable[[list[Audio]], list[str]], audio: list[Audio]) -> tuple[list[str], Took]:
    """Texts, and what they took after the first utterance warmed up."""
    decode(audio[:1])
    cpu_s, wall_s = time.process_time(), time.monotonic()
    texts = decode(audio)
    return texts, Took(time.process_time() - cpu_s, time.monotonic() - wall_s)


def test_set(most: int | None) -> list[Audio]:
    """The test set in domain, and what is hard: silence, 0.1 s, 30 s."""
    reader = ShardReader(RAW)
    rows = utterances.read(SPLIT / "test.parquet")[:most].to_dict("records")
    audio = [reader.read_row(row) for row in rows]
    long = np.resize(np.concatenate(audio), 30 * SAMPLE_RATE_HZ)
    silence = np.zeros(2 * SAMPLE_RATE_HZ, np.float32)
    return [*audio, silence, audio[0][: SAMPLE_RATE_HZ // 10], long]


def by_funasr(model: Path, precision: Precision) -> Callable[[list[Audio]], list[str]]:
    """What decodes by funasr, one utterance after the other."""
    theirs = AutoModel(
        model=str(model), device=DEVICE, disable_update=True, disable_pbar=True, ncpu=1,
        disable_log=True,
    )  # fmt: skip

    def generate(samples: Audio) -> str:
        text: str = theirs.generate(
            input=[torch.from_numpy(samples)],
            language=PROMPT.language,
            max_length=MAX_TOKENS,
            batch_size=1,
            bf16=precision == "bf16",
        )[0]["text"]
        return text

    return lambda audio: [generate(samples) for samples in audio]


if __name__ == "__main__":
    main()
