"""Tables as parquet files whose bytes depend on the rows alone."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from galgame_asr.core.files import atomic_path
from galgame_asr.messages.errors import DataError


def read(path: Path, schema: pa.Schema, *others: pa.Schema) -> pd.DataFrame:
    """Read a table, which has the columns of one of the schemas.

    Raises:
        DataError: the file is missing, is no parquet or has other columns.
    """
    try:
        table = pq.read_table(path)
        names = table.schema.names
        rows: pd.DataFrame = table.to_pandas()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; `dvc repro` makes it") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} is no parquet file: {error}") from None
    if all(names != known.names for known in (schema, *others)):
        raise DataError(f"{path} has columns {names} instead of {schema.names}")
    return rows


def write(path: Path, rows: pd.DataFrame, schema: pa.Schema) -> None:
    """Write a table, in the order given."""
    table = pa.Table.from_pandas(rows, schema=schema, preserve_index=False)
    # Without pandas' own metadata, which holds its version.
    write_parts(path, [table.replace_schema_metadata(None)], schema)


def write_parts(path: Path, parts: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write a table from parts that are never in memory together."""
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for part in parts:
            writer.write_table(part)
