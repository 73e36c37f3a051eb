"""Stage decode@CHECKPOINT-PROMPT: transcribe the test sets with one checkpoint and one prompt."""

from collections.abc import Sequence
from pathlib import Path

from galgame_asr.core import utterances
from galgame_asr.core.params import load
from galgame_asr.core.paths import DECODED_SETS, MACHINE, MODELS, RAW, SPEED, SPLIT
from galgame_asr.decoding import transcripts
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.decoding.transcribe import Task, transcribe_sets
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, MachineParams, Prompt
from galgame_asr.messages.console import run
from galgame_asr.runtimes import load as runtimes


def main(arguments: Sequence[str]) -> None:
    """Arguments: checkpoint, name of the prompt, file to write."""
    checkpoint, prompt_name, output = arguments
    compute_params = load(ComputeParams, "compute")
    compute.set_up(compute_params, MACHINE)
    params = load(DecodeParams, "decode")
    machine = load(MachineParams, "machine")
    prompt = load(Prompt, f"prompts.{prompt_name}")
    task = Task(
        family=runtimes.detect(MODELS / checkpoint),
        checkpoint=MODELS / checkpoint,
        raw=RAW,
        prompt=prompt,
        params=params,
        compute=compute_params,
        batch_frames=machine.decode_batch_frames,
        processes=machine.processes,
        speed=SPEED / f"{checkpoint}-{prompt_name}.json",
    )
    tables = {name: utterances.read(SPLIT / f"{name}.parquet") for name in DECODED_SETS}
    transcripts.write(Path(output), transcribe_sets(tables, task))


if __name__ == "__main__":
    run(main)
