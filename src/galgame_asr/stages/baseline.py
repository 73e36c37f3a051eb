"""Stage baseline@NAME: the transcripts that somebody else's model or program gives of the sets."""

from collections.abc import Sequence

from galgame_asr.baselines.common.transcribe import Run, transcribe
from galgame_asr.core import utterances
from galgame_asr.core.files import atomic_directory
from galgame_asr.core.params import entry, load
from galgame_asr.core.paths import DECODED, DECODED_SETS, MACHINE, RAW, SPEED, SPLIT
from galgame_asr.decoding import transcripts
from galgame_asr.decoding.params import LongAudioParams
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, MachineParams
from galgame_asr.messages.console import run


def main(arguments: Sequence[str]) -> None:
    """Transcribe with the baseline named by the only argument, with each of its prompts."""
    (name,) = arguments
    compute_params = load(ComputeParams, "compute")
    compute.set_up(compute_params, MACHINE)
    baseline = entry("galgame_asr.baselines", f"baselines.{name}", "kind")
    long_audio = load(LongAudioParams, "decode.long_audio")
    run_ = Run(name, RAW, long_audio, compute_params, load(MachineParams, "machine"), SPEED)
    sets = {set_: utterances.read(SPLIT / f"{set_}.parquet") for set_ in DECODED_SETS}
    with atomic_directory(DECODED / name) as output:
        for prompt, said in transcribe(baseline, sets, run_).items():
            transcripts.write(output / f"{prompt}.jsonl", said)


if __name__ == "__main__":
    run(main)
