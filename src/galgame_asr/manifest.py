"""Tables of utterances: one row each, as parquet whose bytes depend on the rows alone."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from galgame_asr.errors import DataError
from galgame_asr.files import atomic_path

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("corpus", pa.string()),
        ("shard", pa.string()),  # relative to data/raw
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
        DataError: the file is missing, is no parquet or has other columns.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; `dvc repro` makes it") from None
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is no parquet file: {error}") from None
    if table.schema.names != SCHEMA.names:
        raise DataError(f"{path} has columns {table.schema.names} instead of {SCHEMA.names}")
    rows: pd.DataFrame = table.to_pandas()
    return rows


def write(path: Path, rows: pd.DataFrame) -> None:
    """Write a table of utterances, in the order given."""
    table = pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False)
    # Without pandas' own metadata, which holds its version.
    write_parts(path, [table.replace_schema_metadata(None)])


def write_parts(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write a table of utterances from parts that are never in memory together."""
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer,
    ):
        for table in tables:
            writer.write_table(table)
