"""Time and memory of splitting and mixing a million utterances.

Nobody sells this step: the chain it replaces cut a list at 80 %, which takes no time
and leaks. So there is no ratio here, only whether it stays in bounds.

    python -m benchmarks.split [--utterances 1000000]
"""

import argparse
import dataclasses
import random
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import measure
from benchmarks.corpus import KANA
from galgame_asr.core import utterances
from galgame_asr.core.params import parse, read_yaml
from galgame_asr.core.reader import ShardReader
from galgame_asr.corpora.synthetic import ogg
from galgame_asr.manifests.params import ManifestParams
from galgame_asr.shards import tar
from galgame_asr.splitting.mix import select
from galgame_asr.splitting.params import SplitParams
from galgame_asr.splitting.split import Checks, split


def main() -> None:
    """Make the table, then split and mix it in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=1_000_000)
    parser.add_argument("--part", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        start = measure.cpu_s()
        split_and_mix(Path(options.part))
        measure.report_cpu(start)
        return
    with tempfile.TemporaryDirectory() as temporary:
        build(Path(temporary), options.utterances)
        cost, output = measure.part("benchmarks.split", "--part", temporary)
        print("\n".join(output.splitlines()[:-1]))
        print(f"split and mix of {options.utterances} utterances: {cost}")


def build(root: Path, count: int) -> None:
    """A manifest like the real one: a fifth of the lines are short and occur many times."""
    draw = random.Random(0)
    audio = ogg.encode((np.arange(16_000) % 200 * 50).astype(np.int16), 16_000)
    tar.write(root / "c.tar", [("a.ogg", audio)])
    (member,) = tar.members(root / "c.tar")
    rows = pd.DataFrame(
        {
            "id": [f"{draw.getrandbits(256):064x}" for _ in range(count)],
            "corpus": draw.choices(["galgame", "reazon"], [0.8, 0.2], k=count),
            "shard": "c.tar",
            "offset": member.offset,
            "size": member.size,
            "text": [
                "".join(draw.choices(KANA, k=draw.choice((2, 12, 16, 20, 24)))) + "。"
                for _ in range(count)
            ],
            "duration_s": [round(draw.uniform(0.5, 15), 4) for _ in range(count)],
            "sample_rate_hz": 16_000,
            "audio_hash": [f"{draw.getrandbits(128):032x}" for _ in range(count)],
            "upstream_set": None,
            "flags": [[]] * count,
        }
    )
    utterances.write(root / "c.parquet", rows)


def split_and_mix(root: Path) -> None:
    """What stage split and the start of a phase do."""
    values = read_yaml(Path("params.yaml"))
    params = parse(ManifestParams, values["manifest"], "manifest")
    signal = dataclasses.replace(params.signal, max_length_error_s=60.0)
    severity = dataclasses.replace(params.severity, clipped="warn", dc_offset="warn")
    split_params = dataclasses.replace(
        parse(SplitParams, values["split"], "split"),
        dev=0.0005, test=0.0005, group_min_letters=8, out_of_domain=(), on_leak="drop",
    )  # fmt: skip
    start = time.monotonic()
    rows = utterances.read(root / "c.parquet")
    severities = dict.fromkeys(rows["corpus"].unique(), severity)
    parts, _ = split(rows, split_params, Checks({}, {}, severities, signal, ShardReader(root)))
    for name, part in parts.items():
        utterances.write(root / f"{name}.parquet", part)
    print(f"split: {time.monotonic() - start:.1f} s;", {n: len(p) for n, p in parts.items()})
    start = time.monotonic()
    del rows, parts
    mixed = select(utterances.read(root / "train.parquet"), {"galgame": 1.0, "reazon": 0.5})
    print(f"mix: {time.monotonic() - start:.1f} s; {len(mixed)} utterances")


if __name__ == "__main__":
    main()
