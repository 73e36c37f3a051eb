"""Stage decode@CHECKPOINT-PROMPT: transcribe the test sets with one checkpoint and one prompt."""

from collections.abc import Sequence
from pathlib import Path

from galgame_asr import compute, families, manifest
from galgame_asr.audio.reader import ShardReader
from galgame_asr.console import run
from galgame_asr.decoding import transcripts
from galgame_asr.decoding.transcribe import transcribe
from galgame_asr.params import load
from galgame_asr.params.compute import ComputeParams
from galgame_asr.params.decode import DecodeParams
from galgame_asr.params.model import ModelParams
from galgame_asr.params.prompts import Prompt
from galgame_asr.paths import MODELS, RAW, SPLIT, TEST_SETS


def main(arguments: Sequence[str]) -> None:
    """Arguments: checkpoint, name of the prompt, file to write."""
    checkpoint, prompt_name, output = arguments
    params = load(DecodeParams, "decode")
    prompt = load(Prompt, f"prompts.{prompt_name}")
    compute_params = load(ComputeParams, "compute")
    compute.set_up(compute_params)
    device = compute.device(compute_params)
    family = families.load(load(ModelParams, "model").family, MODELS / checkpoint)
    family.model.to(device)
    reader = ShardReader(RAW)
    decoded = {}
    with compute.autocast(compute_params, device):
        for name in TEST_SETS:
            rows = manifest.read(SPLIT / f"{name}.parquet")
            texts = transcribe(rows, family, reader, prompt, params)
            decoded[name] = dict(zip(transcripts.keys(rows), texts, strict=True))
    transcripts.write(Path(output), decoded)


if __name__ == "__main__":
    run(main)
