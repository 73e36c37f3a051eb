"""Stage hear@CORPUS-CHECKPOINT: what a model hears in the training rows that are audited.

Apart from the stage audit, so that another threshold decodes nothing again.
"""

import os
from collections.abc import Sequence
from dataclasses import replace

from galgame_asr.auditing.hearing import SCHEMA, hear, sampled
from galgame_asr.core import processes, utterances
from galgame_asr.core.params import load
from galgame_asr.core.paths import HEARD, MACHINE, MODELS, RAW, SPLIT
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.decoding.transcribe import Task
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, MachineParams, Prompt
from galgame_asr.messages.console import log, run
from galgame_asr.runtimes import load as runtimes
from galgame_asr.training.resume import scratch


def main(arguments: Sequence[str]) -> None:
    """Arguments: corpus, checkpoint."""
    corpus, checkpoint = arguments
    compute_params = load(ComputeParams, "compute")
    compute.set_up(compute_params, MACHINE)
    if "DVC_STAGE" in os.environ:
        processes.stop_without_parent()
    sample = load(int | float, f"audit.corpora.{corpus}.sample")
    prompt = load(Prompt, f"prompts.{load(str, 'audit.prompt')}")
    params = load(DecodeParams, "decode")
    machine = load(MachineParams, "machine")
    task = Task(
        family=runtimes.detect(MODELS / checkpoint),
        checkpoint=MODELS / checkpoint,
        raw=RAW,
        prompt=prompt,
        params=params,
        compute=compute_params,
        batch_frames=machine.decode_batch_frames,
        processes=machine.processes,
        skip_unreadable=True,
        align=True,
    )
    table = SPLIT / "train.parquet"
    rows = sampled(utterances.read(table), corpus, sample)
    log.info("%d utterances, %.2f hours", len(rows), rows["duration_s"].sum() / 3600)
    search = replace(params, checkpoints=("any",))  # which others are decoded changes nothing
    depends = {
        "corpus": corpus, "sample": sample, "prompt": prompt, "decode": search,
        "columns": SCHEMA.names,
    }  # fmt: skip
    with scratch([table, MODELS / checkpoint], {**depends, "compute": compute_params}) as parts:
        hear(rows, task, parts, HEARD / corpus / f"{checkpoint}.parquet")


if __name__ == "__main__":
    run(main)
