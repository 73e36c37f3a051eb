"""What one model hears in the training rows of a corpus, part by part, so that a kill costs a part.

Parts are the same rows each time, and what a part gives depends on it alone: work that was
interrupted ends in the same bytes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from galgame_asr.core import tables
from galgame_asr.decoding.transcribe import Task, transcribe_parts
from galgame_asr.families.common.transcript import LabelFit, Transcript
from galgame_asr.manifests.hashing import unit_hash
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import DataError

# Of a part: minutes of a GPU, and so long that lengths still sort into batches without padding.
ROWS = 5000
SALT = "audit"
DIGITS = 3  # of how labels fit
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("tokens", pa.int32()),
        ("log_prob", pa.float64()),  # of all tokens; missing where a runtime does not tell
        # How the label fits, as in `LabelFit`; missing without a CTC branch.
        ("label_log_prob", pa.float64()),
        ("lead_s", pa.float64()),
        ("tail_s", pa.float64()),
    ]
)


def sampled(rows: pd.DataFrame, corpus: str, sample: float) -> pd.DataFrame:
    """The training rows of a corpus that are heard, sorted by id.

    Args:
        rows: of all corpora.
        corpus: its name.
        sample: a share of them (float), or so many (int); those of a smaller one are among them.

    Raises:
        DataError: there are none.
    """
    own = rows[rows["corpus"] == corpus].sort_values("id", ignore_index=True)
    place = own["id"].map(lambda id_: unit_hash(id_, SALT)).astype(float)
    kept = place.rank(method="first") <= sample if isinstance(sample, int) else place < sample
    if not kept.any():
        raise DataError(
            f"audit.corpora.{corpus}: of {len(own)} training rows none is in a sample of {sample}"
        )
    return own[kept].reset_index(drop=True)


def hear(rows: pd.DataFrame, task: Task, parts: Path, output: Path) -> None:
    """Transcribe rows and write them to `output`, in their order, with the columns of SCHEMA.

    Args:
        rows: of one corpus.
        task: how.
        parts: a folder for finished parts, which an interrupted run finds again.
        output: the file.

    Raises:
        GalgameAsrError: as for `transcribe`.
    """
    starts = range(0, len(rows), ROWS)
    files = {start: parts / f"part-{start:09}.parquet" for start in starts}
    missing = [start for start in starts if not files[start].exists()]
    if len(missing) < len(starts):
        log.info("resuming: %d of %d parts are there", len(starts) - len(missing), len(starts))
    pieces = [rows[start : start + ROWS].reset_index(drop=True) for start in missing]
    if pieces:
        heard = transcribe_parts(pieces, task)
        for start, piece, transcripts in zip(missing, pieces, heard, strict=True):
            tables.write(files[start], _table(piece, transcripts), SCHEMA)
    tables.write_parts(output, (pq.read_table(file) for file in files.values()), SCHEMA)


def read(path: Path) -> pd.DataFrame:
    """Read what `hear` wrote.

    Raises:
        DataError: as for `tables.read`.
    """
    return tables.read(path, SCHEMA)


def _table(rows: pd.DataFrame, transcripts: Sequence[Transcript]) -> pd.DataFrame:
    values = []
    for transcript in transcripts:
        fit = transcript.fit or LabelFit(np.nan, np.nan, np.nan)
        values.append(
            transcript.as_row()
            | {
                "label_log_prob": round(fit.log_prob, DIGITS),
                "lead_s": round(fit.lead_s, DIGITS),
                "tail_s": round(fit.tail_s, DIGITS),
            }
        )
    return pd.DataFrame(values, columns=SCHEMA.names[1:]).assign(id=rows["id"])
