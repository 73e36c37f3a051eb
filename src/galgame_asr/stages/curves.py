"""Stage curves@PHASE: the records of a phase where git keeps them, metrics/training/PHASE.

A stage of its own: DVC brings the outputs of an earlier run back, instead of training again, only
for a stage that has no output in git.
"""

import shutil
from collections.abc import Sequence

from galgame_asr.core.files import atomic_directory
from galgame_asr.core.paths import MODELS, RECORDS, TRAINING
from galgame_asr.messages.console import run


def main(arguments: Sequence[str]) -> None:
    """Copy those of the phase named by the only argument."""
    (name,) = arguments
    with atomic_directory(TRAINING / name) as directory:
        for record in RECORDS:
            shutil.copyfile(MODELS / name / record, directory / record)


if __name__ == "__main__":
    run(main)
