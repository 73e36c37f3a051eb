"""Stage verify@NAME: an export says what its checkpoint says, or the stage fails."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from galgame_asr import compute, families, manifest
from galgame_asr.console import log, run
from galgame_asr.decoding import transcripts
from galgame_asr.decoding.transcribe import Task, transcribe
from galgame_asr.decoding.transcript import Transcript
from galgame_asr.errors import DataError, ExportError
from galgame_asr.files import write_text
from galgame_asr.params import load
from galgame_asr.params.compute import ComputeParams
from galgame_asr.params.decode import DecodeParams
from galgame_asr.params.export import Export
from galgame_asr.params.prompts import Prompt
from galgame_asr.params.score import NormaliseParams
from galgame_asr.paths import EXPORTS, METRICS, MODELS, RAW, SPLIT
from galgame_asr.scoring.agreement import Agreement, compare

SHOWN = 5  # utterances named in a message


def main(arguments: Sequence[str]) -> None:
    """Verify the export named by the only argument."""
    (name,) = arguments
    params = load(Export, f"export.{name}")
    prompt = load(Prompt, f"prompts.{params.verify.prompt}")
    rows = _rows(params.verify.utterances)
    checkpoint, export = MODELS / params.checkpoint, EXPORTS / name
    said = [_transcribe(rows, directory, prompt) for directory in (checkpoint, export)]
    ids = transcripts.keys(rows).tolist()
    rules = load(NormaliseParams, "score.normalise")
    found = compare(ids, rows["text"].tolist(), said[0], said[1], rules)
    log.info("%d of %d texts are equal, %d distinct", found.equal, found.utterances, found.distinct)
    if found.equal < params.verify.min_equal * found.utterances:
        raise ExportError(_failure(name, params, found, ids, said))
    values = _values(found, params, checkpoint, export)
    write_text(METRICS / "verify" / f"{name}.json", json.dumps(values, indent=1) + "\n")


def _rows(count: int) -> pd.DataFrame:
    """So many utterances of the test set, a draw that grows when more are asked for."""
    rows = manifest.read(SPLIT / "test.parquet").sort_values("audio_hash", kind="stable")
    if rows.empty:
        raise DataError(f"{SPLIT}/test.parquet has no utterance to verify an export with")
    return rows.head(count).reset_index(drop=True)


def _transcribe(rows: pd.DataFrame, directory: Path, prompt: Prompt) -> list[Transcript]:
    # In bf16 the checkpoint itself would say something else now and then.
    exact = dataclasses.replace(load(ComputeParams, "compute"), precision="float32")
    compute.set_up(exact)
    params = load(DecodeParams, "decode")
    return transcribe(rows, Task(families.detect(directory), directory, RAW, prompt, params, exact))


def _failure(
    name: str,
    params: Export,
    found: Agreement,
    ids: Sequence[str],
    said: Sequence[Sequence[Transcript]],
) -> str:
    texts = {id_: pair for id_, *pair in zip(ids, *said, strict=True)}
    lines = [
        f"  {id_}: {texts[id_][0].text!r} became {texts[id_][1].text!r}"
        for id_ in found.differing[:SHOWN]
    ]
    return (
        f"{EXPORTS / name} says the same as {MODELS / params.checkpoint} for {found.equal} of "
        f"{found.utterances} utterances; export.{name}.verify.min_equal is "
        f"{params.verify.min_equal}. CER {found.cer}, of the checkpoint {found.cer_checkpoint}. "
        "Choose a higher precision, or lower min_equal if that CER will do. The first that "
        "differ:\n" + "\n".join(lines)
    )


def _values(found: Agreement, params: Export, checkpoint: Path, export: Path) -> dict[str, object]:
    return {
        "checkpoint": params.checkpoint,
        "format": params.format,
        "precision": params.precision,
        "utterances": found.utterances,
        "equal": found.equal,
        "distinct": found.distinct,
        "cer": _rounded(found.cer, 4),
        "cer_checkpoint": _rounded(found.cer_checkpoint, 4),
        "log_prob_difference": _rounded(found.log_prob_difference, 3),
        "size_mb": _size_mb(export),
        "size_mb_checkpoint": _size_mb(checkpoint),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _size_mb(directory: Path) -> float:
    num_bytes = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    return round(num_bytes / 1e6, 1)


if __name__ == "__main__":
    run(main)
