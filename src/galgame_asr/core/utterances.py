"""Tables of utterances: one row each."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from galgame_asr.core import tables

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("corpus", pa.string()),
        ("shard", pa.string()),  # relative to data/raw; or @CORPUS/PATH, see reader.read_file
        ("offset", pa.int64()),  # of the audio bytes in the shard
        ("size", pa.int64()),
        ("text", pa.string()),
        ("duration_s", pa.float64()),
        ("sample_rate_hz", pa.int32()),
        ("audio_hash", pa.string()),  # xxh3_128 of the audio bytes
        ("upstream_set", pa.string()),  # train, dev or test, where the corpus's makers split it
        ("flags", pa.list_(pa.string())),  # why a row is suspect; empty: nothing found
    ]
)


def read(path: Path) -> pd.DataFrame:
    """Read a table of utterances.

    Raises:
        DataError: as for `tables.read`.
    """
    return tables.read(path, SCHEMA)


def write(path: Path, rows: pd.DataFrame) -> None:
    """Write a table of utterances, in the order given."""
    tables.write(path, rows, SCHEMA)


def write_parts(path: Path, parts: Iterable[pa.Table]) -> None:
    """Write a table of utterances from parts that are never in memory together."""
    tables.write_parts(path, parts, SCHEMA)
