"""Whether an export says what its checkpoint says: both transcribe the same utterances."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from galgame_asr.core.reader import ShardReader
from galgame_asr.decoding import transcripts
from galgame_asr.decoding.transcribe import Task, transcribe
from galgame_asr.families.common.params import Prompt
from galgame_asr.formats.common.agreement import Agreement, Said, compare
from galgame_asr.formats.common.exporter import Exporter
from galgame_asr.formats.common.params import Export, TensorVerifyParams
from galgame_asr.formats.common.verified import Verified, rounded
from galgame_asr.messages.console import log
from galgame_asr.text.params import NormaliseParams

SHOWN = 5  # utterances named in a message
BY_COMMAND = 8  # utterances that a runtime's own command transcribes, where there is one


def verify(
    export: Path,
    exporter: Exporter,
    params: Export,
    rows: pd.DataFrame,
    task: Task,
    rules: NormaliseParams,
) -> Verified:
    """Compare an export with its checkpoint, file by file and text by text.

    One that is further off than the gate allows has `problems`, and a warning shows texts.

    Args:
        export: the export's directory.
        exporter: of its format.
        params: its entry in section `export`, with the gate.
        rows: the utterances.
        task: how the checkpoint transcribes.
        rules: how texts are normalised for their error rates.

    Raises:
        ExportError: it is damaged, so that it cannot be compared.
    """
    differences = exporter.differences(task.checkpoint, export)
    for file, value in differences.items():
        log.info("%s: largest difference %.1e of the largest value", file, value)
    said = _transcribe(rows, task, exporter, export)
    ids = transcripts.keys(rows).tolist()
    found = compare(ids, rows["text"].tolist(), said, rules)
    log.info("%d of %d texts are equal, %d distinct", found.equal, found.utterances, found.distinct)
    figures = Verified(
        checkpoint=params.checkpoint,
        format=params.format,
        precision=params.precision,
        runtime=f"{exporter.PACKAGE} {importlib.metadata.version(exporter.PACKAGE)}",
        problems=_problems(export.name, params, found, differences),
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
        size_mb_checkpoint=_size_mb(task.checkpoint),
    )
    if figures.problems:
        log.warning(
            "%s does not say what %s says: %s. The report shows it, and `publish` refuses it.%s",
            export,
            task.checkpoint,
            figures.refusal,
            "".join(f"\n{line}" for line in _shown(ids, said, found)),
        )
    return figures


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
            f"{file} {_described(value)} ({key}.max_difference is {gate.max_difference})"
            for file, value in differences.items()
            if not value <= gate.max_difference  # also NaN
        ]
    return problems


def _described(difference: float) -> str:
    value = rounded(difference)
    return "has values that are no numbers" if value is None else f"differs by {value:.1e}"


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
