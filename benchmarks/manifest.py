"""From tar shards to a table of utterances: ours against the chain of scripts it replaces.

The chain, as in the notes that this project replaces: extract all tars, find the
files, read each text, then ask soundfile for each duration and tokenise each text in
threads, and write one JSON line for each. Ours also hashes the audio and runs the
checks of manifest.severity; the second line is with a share of 0.01 decoded as well.

    python -m benchmarks.manifest [--shards 20] [--utterances 1000]
"""

import argparse
import dataclasses
import json
import random
import subprocess
import tempfile
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from benchmarks import measure
from benchmarks.corpus import encode, sentence, speech
from galgame_asr.core import utterances
from galgame_asr.core.params import parse, read_yaml
from galgame_asr.core.reader import ShardReader
from galgame_asr.manifests.index import Corpus, index
from galgame_asr.manifests.params import FlagSeverity, ManifestParams
from galgame_asr.shards import folder as shards
from galgame_asr.shards.folder import Utterance

CORPUS_UTTERANCES = 3_746_131  # litagin/Galgame_Speech_ASR_16kHz
RANDOM_READS = 2000


def main() -> None:
    """Build the shards, measure both, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--utterances", type=int, default=1000, help="per shard")
    parser.add_argument("--part", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, folder = options.part
        start = measure.cpu_s()
        parts = {
            "ours": lambda root: ours(root, share=0.0),
            "ours-decoding": lambda root: ours(root, share=0.01),
            "chain": chain,
            "read": read,
        }
        parts[name](Path(folder))
        measure.report_cpu(start)
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        rows = options.shards * options.utterances
        size = build(root / "raw/c", options.shards, options.utterances)
        print(f"{rows} utterances in {options.shards} tars, {size / 1e6:.0f} MB\n")
        costs = {
            title: measure.part("benchmarks.manifest", "--part", part, temporary)[0]
            for title, part in (
                ("chain", "chain"), ("this project", "ours"), ("  1 % decoded", "ours-decoding"),
            )
        }  # fmt: skip
        other = costs["chain"]
        for title, cost in costs.items():
            hours = cost.cpu_s / rows * CORPUS_UTTERANCES / 3600
            print(
                f"{title:15}{cost} {rows / cost.cpu_s:7.0f} rows per CPU s, "
                f"{other.cpu_s / cost.cpu_s:5.1f} x chain; "
                f"{CORPUS_UTTERANCES} utterances: {hours:.2f} CPU hours"
            )
        print()
        _, output = measure.part("benchmarks.manifest", "--part", "read", temporary)
        print("\n".join(output.splitlines()[:-1]))


def build(directory: Path, count: int, utterances: int) -> int:
    """Write shards like the galgame corpus's: 5.1 s of Vorbis, about 25 KB, and a line of text."""
    directory.mkdir(parents=True)
    draw = random.Random(0)
    noise = np.random.default_rng(0)
    sounds = [encode(speech(noise.uniform(2.0, 8.2), noise), "ogg") for _ in range(60)]
    written = [
        shard
        for number in range(count)
        for shard in shards.write(
            directory,
            f"c-{number:03}",
            lambda _start: (
                Utterance(
                    f"{draw.getrandbits(256):064x}",
                    "ogg",
                    draw.choice(sounds),
                    sentence(draw, draw.randrange(8, 40)),
                )
                for _ in range(utterances)
            ),
            shard_size=utterances,
        )
    ]
    shards.write_list(directory, written)
    return sum(shard.path.stat().st_size for shard in written)


def ours(root: Path, *, share: float) -> None:
    """The manifest stage, with every flag only counted."""
    params = parse(ManifestParams, read_yaml(Path("params.yaml"))["manifest"], "manifest")
    warn = {field.name: "warn" for field in dataclasses.fields(FlagSeverity)}
    params = dataclasses.replace(
        params,
        severity=parse(FlagSeverity, warn, "severity"),
        signal=dataclasses.replace(params.signal, share=share),
    )
    index(Corpus("c", root / "raw/c", params), root / "c.parquet", root / "scratch")


def chain(root: Path) -> None:
    """What the scripts did, one after the other."""
    loose = root / "loose"
    loose.mkdir()
    for shard in sorted((root / "raw/c").glob("*.tar")):
        subprocess.run(["tar", "-xf", shard, "-C", loose], check=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    texts = {}
    for path in sorted(loose.glob("**/*.txt")):
        texts[str(path).removesuffix(".txt")] = path.read_text(encoding="utf-8").strip()
    tokenizer.train_from_iterator(
        list(texts.values())[:500], trainers.BpeTrainer(vocab_size=600, show_progress=False)
    )

    def row(item: tuple[str, str]) -> str:
        stem, text = item
        info = sf.info(f"{stem}.ogg")
        return json.dumps(
            {
                "key": stem.rpartition("/")[2],
                "source": f"{stem}.ogg",
                "source_len": int(info.duration * 100),
                "target": text,
                "target_len": len(tokenizer.encode(text).ids),
            },
            ensure_ascii=False,
        )

    with (
        ThreadPoolExecutor(2) as threads,
        (root / "chain.jsonl").open("w", encoding="utf-8") as stream,
    ):
        for line in threads.map(row, texts.items()):
            stream.write(line + "\n")


def read(root: Path) -> None:
    """Random utterances: bytes out of the shards, bytes of loose files, and decoding both."""
    rows = utterances.read(root / "c.parquet").sample(RANDOM_READS, random_state=0)
    reader = ShardReader(root / "raw")
    records = rows.to_dict("records")
    ways: dict[str, Callable[[dict[Hashable, Any]], object]] = {
        "bytes from the shard": lambda r: reader.read_bytes(r["shard"], r["offset"], r["size"]),
        "bytes of a loose file": lambda r: (root / f"loose/{r['id']}.ogg").read_bytes(),
        "decoded from the shard": reader.read_row,
        "decoded from a loose file": lambda r: sf.read(root / f"loose/{r['id']}.ogg"),
    }
    for title, work in ways.items():
        start = measure.cpu_s()
        for record in records:
            work(record)
        print(f"{title:26}{RANDOM_READS / max(measure.cpu_s() - start, 0.01):8.0f} per CPU s")


if __name__ == "__main__":
    main()
