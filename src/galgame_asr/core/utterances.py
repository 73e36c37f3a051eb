"""Tables of utterances: one row each."""

from collections.abc import Collection, Iterable
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
        # train, dev or test, where the corpus's makers split it; or `paths.NOT_SPEECH`
        ("upstream_set", pa.string()),
        ("flags", pa.list_(pa.string())),  # why a row is suspect; empty: nothing found
    ]
)
SENTENCE = pa.struct([("start_s", pa.float64()), ("end_s", pa.float64()), ("text", pa.string())])
# Of a table in which some row has sentences with times: together they are its text.
TIMED = SCHEMA.append(pa.field("sentences", pa.list_(SENTENCE)))
# Of a manifest in which some text is a person's: there the text that the corpus has.
LABELLED = SCHEMA.append(pa.field("label", pa.string()))
WHOLE = TIMED.append(LABELLED.field("label"))


def read(path: Path) -> pd.DataFrame:
    """Read a table of utterances.

    It has the column `sentences` if some of them have times, and `label` if some were corrected.

    Raises:
        DataError: as for `tables.read`.
    """
    return tables.read(path, SCHEMA, TIMED, LABELLED, WHOLE)


def write(path: Path, rows: pd.DataFrame) -> None:
    """Write a table of utterances, in the order given, without the column `label`."""
    timed = "sentences" in rows and bool(rows["sentences"].notna().any())
    tables.write(path, rows, TIMED if timed else SCHEMA)


def write_parts(path: Path, parts: Iterable[pa.Table], optional: Collection[str]) -> None:
    """Write a table of utterances from parts that are never in memory together.

    Args:
        path: the file.
        parts: tables with the columns of WHOLE.
        optional: columns beside those of SCHEMA that some row has something in.
    """
    names = (*SCHEMA.names, *optional)
    schema = pa.schema([column for column in WHOLE if column.name in names])
    tables.write_parts(path, (part.select(schema.names) for part in parts), schema)
