"""From shards to batches, as a step of training reads them: ours against FunASR's and `datasets`.

The same utterances of 2 to 8 s in the same batches, at the feature sizes of the published
models: Fun-ASR-Nano's 7 x 80 mels, Whisper large-v3's 128 mels of 30 s. Ours reads tar shards;
FunASR's data set, and `datasets` with transformers' extractor, read the same files loose. No
features are kept from before. One thread, each side in a process of its own.

    python -m benchmarks.loader [--families fun_asr_nano whisper] [--codecs wav flac ogg]
"""

import argparse
import importlib.util
import json
import random
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile as sf
import torch
from torch.utils.data import DataLoader
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor

from benchmarks import measure
from benchmarks.corpus import CODECS, sentence, speech, write_rows
from benchmarks.train_data import PROMPT
from galgame_asr.base import tiny_fun_asr_nano, tiny_whisper, whisper_files
from galgame_asr.base.built import TinyBase, TinyWhisperBase
from galgame_asr.core.params import load, parse
from galgame_asr.core.reader import SAMPLE_RATE_HZ, ShardReader
from galgame_asr.experiment import jsonl
from galgame_asr.families.common.batching import num_frames, window_frames
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.funasr_parts import WavFrontend, tables
from galgame_asr.families.fun_asr_nano.weights import read_config
from galgame_asr.families.whisper.family import Whisper
from galgame_asr.families.whisper.network import IGNORED, Model
from galgame_asr.training.batches import Division, Pick, Steps
from galgame_asr.training.dataset import Shares, Utterances, read_ahead

PROMPTS = {"fun_asr_nano": PROMPT, "whisper": Prompt(language="ja")}
TOOLS = {"fun_asr_nano": "funasr", "whisper": "datasets"}  # packages to compare with
STEP_FRAMES, SORT_WINDOW = 4000, 1024  # of the profile `galgame`
WHISPER_MELS = 128  # of large-v3
# Everything else of it is small: no model takes part.
WHISPER = {
    "dim": 16, "encoder_layers": 1, "decoder_layers": 1, "vocabulary": 400, "texts": ["vn"],
    "pretrain": {"freeze": {}, "lr": 1.0, "epochs": 1, "mix": {"vn": 1.0}, "prompts": [{}]},
}  # fmt: skip


def main() -> None:
    """Write the utterances and measure both sides of each family on each codec."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", choices=PROMPTS, default=list(PROMPTS))
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=list(CODECS))
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--part", nargs=3, metavar=("SIDE", "FAMILY", "FOLDER"))
    options = parser.parse_args()
    if options.part:
        side, family, folder = options.part
        measure_side(side, family, Path(folder))
        return
    with tempfile.TemporaryDirectory() as temporary:
        for codec in options.codecs:
            write(Path(temporary) / codec, codec, options.utterances)
        print(f"{options.utterances} utterances; CPU ms of one: read and decode, features, rest")
        for family in options.families:
            for codec in options.codecs:
                print(compare(family, Path(temporary) / codec), flush=True)


def write(folder: Path, codec: str, count: int) -> None:
    """Write a shard, and the same files loose with FunASR's list of them."""
    draw = np.random.default_rng(0)
    audio = [speech(draw.uniform(2.0, 8.2), draw) for _ in range(count)]
    letters = random.Random(0)
    texts = [sentence(letters, letters.randrange(8, 40)) for _ in range(count)]
    rows = write_rows(folder, audio, texts, codec)
    params = load(TinyBase, "base.built.tiny")
    tiny_fun_asr_nano.build(folder / "model", params, texts=texts, seed=0)
    reader = ShardReader(folder / "raw")
    jsonl.write(rows, reader, folder / "model", PROMPT, folder / "funasr")
    for file, row in zip(loose(folder), rows.to_dict("records"), strict=True):
        # Whoever reads it goes by the bytes, not by the name.
        file.write_bytes(reader.read_bytes(row["shard"], row["offset"], row["size"]))


def loose(folder: Path) -> list[Path]:
    """The loose files, in the order of the rows."""
    return sorted((folder / "funasr" / "audio").iterdir())


def compare(family: str, folder: Path) -> str:
    """The line of a family and a codec."""
    words = f"{family:12} {folder.name:4}"
    speeds = []
    for side in ("ours", "theirs"):
        if side == "theirs" and importlib.util.find_spec(TOOLS[family]) is None:
            return f"{words} | no package {TOOLS[family]} here"
        _, output = measure.part("benchmarks.loader", "--part", side, family, str(folder))
        found = json.loads(output.splitlines()[-1])
        speeds.append(found["audio_s"] / found["read_s"])
        parts_ms = " + ".join(f"{value:.2f}" for value in found["parts_ms"].values())
        name = "ours" if side == "ours" else TOOLS[family]
        words += f" | {name} {speeds[-1]:.0f} audio s per CPU s, {parts_ms} ms"
    return f"{words} | ratio {speeds[0] / speeds[1]:.2f}"


def measure_side(side: str, family: str, folder: Path) -> None:
    """Go through all batches once, after one to warm up; then one line of JSON."""
    torch.set_num_threads(1)
    since = measure.cpu_s()
    rows = pd.read_parquet(folder / "rows.parquet")
    frames = num_frames(rows["duration_s"].to_numpy())
    steps = list(Steps(frames, STEP_FRAMES, SORT_WINDOW, 1, 0).epoch(0))
    parts = measure.Parts()
    sides: dict[str, Callable[[str, Path, pd.DataFrame, measure.Parts], Batches]] = {
        "ours": ours, "theirs": {"fun_asr_nano": by_funasr, "whisper": by_datasets}[family],
    }  # fmt: skip
    batches = sides[side](family, folder, rows, parts)
    for _ in batches(steps[:1]):
        pass
    parts.cpu_s = dict.fromkeys(parts.cpu_s, 0.0)
    whole = measure.Parts()
    whole.timed("read", lambda: [None for _ in batches(steps)])()
    read_s = whole.cpu_s["read"]
    named = {name: parts.cpu_s[name] for name in ("read", "features")}
    named["rest"] = read_s - sum(named.values())
    measure.report_cpu(
        since,
        read_s=read_s,
        audio_s=float(rows["duration_s"].sum()),
        parts_ms={name: 1e3 * value / len(rows) for name, value in named.items()},
    )


Batches = Callable[[list[list[Pick]]], Iterable[Any]]


def ours(family: str, folder: Path, rows: pd.DataFrame, parts: measure.Parts) -> Batches:
    """What `trainer.Trainer` goes through, without its cache of features."""
    model: Any = whisper(rows) if family == "whisper" else fun_asr_nano.load(folder / "model")
    reader: Any = ShardReader(folder / "raw")
    reader.read_row = parts.timed("read", reader.read_row)
    model.features = parts.timed("features", model.features)
    prompts = [PROMPTS[family]]
    utterances = Utterances(rows, model, reader, prompts=prompts, cache_bytes=0)
    shares = Shares(utterances, Division(None, window_frames(model.window_s)), 0)
    return lambda steps: read_ahead(shares, steps, workers=0)


def by_funasr(_family: str, folder: Path, rows: pd.DataFrame, parts: measure.Parts) -> Batches:
    """FunASR's data set and collator, as its trainer makes them."""
    from funasr.datasets.fun_asr_datasets import datasets as module  # noqa: PLC0415
    from funasr.tokenizer.hf_tokenizer import HuggingfaceTokenizer  # noqa: PLC0415

    module.load_audio_text_image_video = parts.timed("read", module.load_audio_text_image_video)
    module.extract_fbank = parts.timed("features", module.extract_fbank)
    frontend = WavFrontend(**read_config(folder / "model")["frontend_conf"] | {"dither": 0.0})
    tokenizer = HuggingfaceTokenizer(
        init_param_path=str(folder / "model" / tiny_fun_asr_nano.LLM_DIRECTORY)
    )
    dataset = tables.dataset_classes["FunASR"](
        str(folder / "funasr" / "utterances.jsonl"), index_ds="FunASR", batch_type="example",
        frontend=frontend, tokenizer=tokenizer, retry=1,
    )  # fmt: skip
    place = {row["key"]: number for number, row in enumerate(dataset.index_ds.contents)}
    by_row = [place[id_] for id_ in rows["id"]]
    return lambda steps: DataLoader(
        dataset,
        batch_sampler=[[by_row[pick.row] for pick in step] for step in steps],
        collate_fn=dataset.collator,
    )


def by_datasets(_family: str, folder: Path, rows: pd.DataFrame, parts: measure.Parts) -> Batches:
    """A transform of `datasets` and a collator that pads labels, as recipes of Whisper have them.

    Files are read with soundfile: `datasets` itself would need torchcodec.
    """
    import datasets  # noqa: PLC0415

    family = whisper(rows)
    read = parts.timed("read", lambda path: sf.read(path, dtype="float32")[0])
    extract = parts.timed("features", family.extractor)

    def prepare(batch: dict[str, list[str]]) -> dict[str, Any]:
        audio = [read(path) for path in batch["audio"]]
        features = extract(audio, sampling_rate=SAMPLE_RATE_HZ).input_features
        return {
            "input_features": list(features),
            "labels": family.tokenizer(batch["text"]).input_ids,
        }

    def collate(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        features = [{"input_features": item["input_features"]} for item in items]
        batch = family.extractor.pad(features, return_tensors="pt")
        labels = family.tokenizer.pad(
            [{"input_ids": item["labels"]} for item in items], return_tensors="pt"
        )
        hidden = labels["attention_mask"] != 1
        return {**batch, "labels": labels["input_ids"].masked_fill(hidden, IGNORED)}

    files = [str(file) for file in loose(folder)]
    table = datasets.Dataset.from_dict({"audio": files, "text": list(rows["text"])})
    return lambda steps: DataLoader(
        table.with_transform(prepare),
        batch_sampler=[[pick.row for pick in step] for step in steps],
        collate_fn=collate,
    )


def whisper(rows: pd.DataFrame) -> Whisper:
    """A small Whisper with the features of large-v3."""
    params = parse(TinyWhisperBase, WHISPER, "base")
    tokenizer = tiny_whisper.build_tokenizer(rows["text"], params.vocabulary)
    config = tiny_whisper.model_config(params, tokenizer) | {"num_mel_bins": WHISPER_MELS}
    model = Model(WhisperConfig(**config))
    generation = whisper_files.generation_config(tokenizer, [])
    model.generation_config = GenerationConfig.from_dict(generation)
    extractor = WhisperFeatureExtractor(WHISPER_MELS)  # type: ignore[no-untyped-call]
    return Whisper(Path(), model, tokenizer, extractor)


if __name__ == "__main__":
    main()
