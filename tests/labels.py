"""A corpus whose labels are to be looked at: shards, manifest, split, audit and scores."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from galgame_asr.core import utterances
from galgame_asr.corpora.synthetic import ogg
from galgame_asr.manifests import corrections
from galgame_asr.manifests.corrections import Correction
from galgame_asr.manifests.index import Corpus, index
from galgame_asr.scoring import scored
from galgame_asr.shards import tar
from tests import tables
from tests.conftest import REPOSITORY, list_shards
from tests.corpora import WARN

AUDIT = pa.schema(
    [("id", pa.string()), ("label", pa.string()), ("proposal", pa.string()),
     ("flags", pa.list_(pa.string())), ("hypotheses", pa.list_(pa.string())),
     ("kana_cer", pa.list_(pa.float64()))]
)  # fmt: skip
LINES = tables.LINES


def label(number: int) -> str:
    """The label of an utterance."""
    return f"{LINES[number % len(LINES)]}{number}"


def make(root: Path, count: int) -> None:
    """Write a corpus `vn` of so many utterances below a folder, a second of tone each.

    The audit flags all of them and proposes a text for all but every fifth.
    """
    ids = [f"{number:04}" for number in range(count)]
    raw = root / "data/raw/vn"
    raw.mkdir(parents=True)
    files = {}
    for number, id_ in enumerate(ids):
        time_s = np.arange(16_000) / 16_000
        wave = np.sin(2 * np.pi * (200 + number) * time_s) * np.sin(np.pi * time_s) ** 2
        files[f"{id_}.ogg"] = ogg.encode((8000 * wave).astype(np.int16), 16_000)
        files[f"{id_}.txt"] = label(number).encode()
    tar.write(raw / "vn-000000.tar", files.items())
    list_shards(raw)
    manifest = root / "data/manifest/vn.parquet"
    index(Corpus("vn", raw, WARN), manifest, root / ".scratch/index")
    utterances.write(root / "data/split/train.parquet", utterances.read(manifest))
    audit(
        root,
        [(id_, None if n % 5 == 4 else f"{label(n)}ね", ["disagrees"])
         for n, id_ in enumerate(ids)],
    )  # fmt: skip
    (root / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())


def audit(
    root: Path,
    rows: list[tuple[str, str | None, list[str]]],
    off: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Write what an audit found: ids, proposals, flags; by id how far off, 0.5 if not told."""
    frame = pd.DataFrame(rows, columns=["id", "proposal", "flags"]).assign(label="")
    frame["hypotheses"] = [[f"ん{id_}", "ん"] for id_ in frame["id"]]
    frame["kana_cer"] = [[1.0, off.get(id_, 0.5)] for id_ in frame["id"]]
    path = root / "data/audit/vn.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(frame, schema=AUDIT, preserve_index=False), path)


def score(root: Path, heard: dict[str, str], variant: str = "full/p100-none") -> None:
    """Write the scores of a variant whose texts are given by id, in the test set."""
    pairs = {id_: (label(int(id_)), text) for id_, text in heard.items()}
    scored.write(root / f"data/scored/{variant}.parquet", tables.table({"test": pairs}))


def decided(root: Path) -> dict[str, Correction]:
    """What the file of corrections says, by id."""
    return corrections.latest(corrections.read(root / "corrections/vn.tsv"))
