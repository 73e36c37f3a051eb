"""Stage verify@NAME: whether an export says what its checkpoint says."""

import dataclasses
from collections.abc import Sequence

import pandas as pd

from galgame_asr.core import utterances
from galgame_asr.core.params import entry, load
from galgame_asr.core.paths import EXPORTS, MACHINE, MODELS, RAW, SPLIT, VERIFIED
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.decoding.transcribe import Task
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, MachineParams, Prompt
from galgame_asr.formats.common import exporter as exporting
from galgame_asr.formats.common import verified
from galgame_asr.formats.common.params import Export
from galgame_asr.formats.common.verification import verify
from galgame_asr.messages.console import run
from galgame_asr.messages.errors import DataError
from galgame_asr.runtimes import load as runtimes
from galgame_asr.text.params import NormaliseParams


def main(arguments: Sequence[str]) -> None:
    """Verify the export named by the only argument."""
    (name,) = arguments
    compute_params = load(ComputeParams, "compute")
    compute.set_up(compute_params, MACHINE)
    params: Export = entry("galgame_asr.formats", f"export.{name}", "format")
    figures = verify(
        EXPORTS / name,
        exporting.load(params.format),
        params,
        _rows(params.verify.utterances),
        _task(params, compute_params),
        load(NormaliseParams, "score.normalise"),
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


if __name__ == "__main__":
    run(main)
