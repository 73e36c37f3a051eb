"""Stage verify@NAME: an export says what its checkpoint says, or the stage fails."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from galgame_asr.core import utterances
from galgame_asr.core.params import entry, load
from galgame_asr.core.paths import EXPORTS, MACHINE, MODELS, RAW, SPLIT, VERIFIED
from galgame_asr.core.reader import ShardReader
from galgame_asr.decoding import transcripts
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.decoding.transcribe import Task, transcribe
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, MachineParams, Prompt
from galgame_asr.formats.common import exporter as exporting
from galgame_asr.formats.common import verified
from galgame_asr.formats.common.agreement import Agreement, Said, compare
from galgame_asr.formats.common.exporter import Exporter
from galgame_asr.formats.common.params import Export, TensorVerifyParams
from galgame_asr.formats.common.verified import Verified
from galgame_asr.messages.console import log, run
from galgame_asr.messages.errors import DataError, ExportError
from galgame_asr.runtimes import load as runtimes
from galgame_asr.text.params import NormaliseParams

SHOWN = 5  # utterances named in a message
BY_COMMAND = 8  # utterances that a runtime's own command transcribes, where there is one


def main(arguments: Sequence[str]) -> None:
    """Verify the export named by the only argument."""
    (name,) = arguments
    compute_params = load(ComputeParams, "compute")
    compute.set_up(compute_params, MACHINE)
    params: Export = entry("galgame_asr.formats", f"export.{name}", "format")
    exporter = exporting.load(params.format)
    checkpoint, export = MODELS / params.checkpoint, EXPORTS / name
    differences = exporter.differences(checkpoint, export)
    for file, value in differences.items():
        log.info("%s: largest difference %.1e of the largest value", file, value)
    rows = _rows(params.verify.utterances)
    task = _task(params, compute_params)
    said = _transcribe(rows, task, exporter, export)
    ids = transcripts.keys(rows).tolist()
    found = compare(ids, rows["text"].tolist(), said, load(NormaliseParams, "score.normalise"))
    log.info("%d of %d texts are equal, %d distinct", found.equal, found.utterances, found.distinct)
    if problems := _problems(name, params, found, differences):
        shown = "\n".join(_shown(ids, said, found))
        raise ExportError(
            f"{export} does not say what {checkpoint} says: {'; '.join(problems)}. Choose a "
            f"higher precision, or lower the gate if this will do.\n{shown}".rstrip()
        )
    figures = Verified(
        checkpoint=params.checkpoint,
        format=params.format,
        precision=params.precision,
        runtime=f"{exporter.PACKAGE} {importlib.metadata.version(exporter.PACKAGE)}",
        utterances=found.utterances,
        equal=found.equal,
        distinct=found.distinct,
        cer=found.cer,
        cer_front_end=found.cer_front_end,
        cer_checkpoint=found.cer_checkpoint,
        log_prob_difference=found.log_prob_difference,
        by_command=_by_command(rows.head(BY_COMMAND), task, exporter, export),
        differences=dict(differences),
        size_mb=_size_mb(export),
        size_mb_checkpoint=_size_mb(checkpoint),
    )
    verified.write(VERIFIED / f"{name}.json", figures)


def _rows(count: int) -> pd.DataFrame:
    """So many utterances of the test set, a draw that grows when more are asked for."""
    rows = utterances.read(SPLIT / "test.parquet").sort_values("audio_hash", kind="stable")
    if rows.empty:
        raise DataError(f"{SPLIT}/test.parquet has no utterance to verify an export with")
    return rows.head(count).reset_index(drop=True)


def _task(params: Export, compute_params: ComputeParams) -> Task:
    """How the checkpoint transcribes."""
    checkpoint = MODELS / params.checkpoint
    # In bf16 the checkpoint itself would say something else now and then.
    exact = dataclasses.replace(compute_params, precision="float32")
    prompt = load(Prompt, f"prompts.{params.verify.prompt}")
    decode = load(DecodeParams, "decode")
    frames = load(MachineParams, "machine").decode_batch_frames
    return Task(runtimes.detect(checkpoint), checkpoint, RAW, prompt, decode, exact, frames)


def _transcribe(rows: pd.DataFrame, task: Task, exporter: Exporter, export: Path) -> Said:
    own = transcribe(rows, task)
    front_end = exporter.front_end(task.checkpoint)
    matched = dataclasses.replace(task, front_end=front_end)
    exported = dataclasses.replace(task, family=exporter.RUNTIME, checkpoint=export)
    return Said(
        checkpoint=own,
        front_end=own if front_end is None else transcribe(rows, matched),
        export=transcribe(rows, exported),
    )


def _by_command(
    rows: pd.DataFrame, task: Task, exporter: Exporter, export: Path
) -> tuple[int, int] | None:
    """How many texts of the runtime's own command are the checkpoint's, and of how many."""
    if (say := getattr(exporter, "say", None)) is None:
        return None
    reader = ShardReader(task.raw)
    heard = say(export, [reader.read_row(row) for row in rows.to_dict("records")])
    if heard is None:
        return None
    expected = transcribe(rows, dataclasses.replace(task, prompt=Prompt()))
    pairs = zip(heard, expected, strict=True)
    equal = sum(text.split() == other.text.split() for text, other in pairs)
    log.info("the runtime's own command: %d of %d texts are equal", equal, len(rows))
    return equal, len(rows)


def _problems(
    name: str, params: Export, found: Agreement, differences: Mapping[str, float]
) -> list[str]:
    """What the gate of params refuses."""
    gate, key = params.verify, f"export.{name}.verify"
    problems = []
    if found.equal < gate.min_equal * found.utterances:
        problems.append(
            f"{found.equal} of {found.utterances} texts are equal ({key}.min_equal is "
            f"{gate.min_equal})"
        )
    if found.cer_rise > gate.max_cer_rise:
        problems.append(
            f"CER rises by {found.cer_rise:.2f} points ({key}.max_cer_rise is {gate.max_cer_rise})"
        )
    if isinstance(gate, TensorVerifyParams):
        problems += [
            f"{file} differs by {value:.1e} ({key}.max_difference is {gate.max_difference})"
            for file, value in differences.items()
            if not value <= gate.max_difference  # also NaN
        ]
    return problems


def _shown(ids: Sequence[str], said: Said, found: Agreement) -> list[str]:
    pairs = {
        id_: (one.text, other.text)
        for id_, one, other in zip(ids, said.front_end, said.export, strict=True)
    }
    return [
        f"  {id_}: {pairs[id_][0]!r} became {pairs[id_][1]!r}" for id_ in found.differing[:SHOWN]
    ]


def _size_mb(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    run(main)
