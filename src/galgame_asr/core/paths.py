"""Where the stages keep things, relative to the repository root."""

import os
from pathlib import Path
from typing import Final

RAW = Path("data/raw")
DECISIONS = Path("data/corrections")
MANIFEST = Path("data/manifest")
SPLIT = Path("data/split")
MIX = Path("data/mix")
DECODED = Path("data/decoded")
SCORED = Path("data/scored")
HEARD = Path("data/heard")
AUDIT = Path("data/audit")
MODELS = Path("models")
EXPORTS = MODELS / "export"
METRICS = Path("metrics")
VARIANTS = METRICS / "variants"
VERIFIED = METRICS / "verify"
TRAINING = METRICS / "training"
QUALITY = METRICS / "quality"
AUDITED = METRICS / "audit"
# The folders of the stages' outputs.
OUTPUTS = (
    RAW, DECISIONS, MANIFEST, SPLIT, MIX, DECODED, SCORED, HEARD, AUDIT, MODELS, EXPORTS,
    VARIANTS, VERIFIED, TRAINING, QUALITY, AUDITED,
)  # fmt: skip
LOGS = Path("logs")
MACHINE = LOGS / "machine.json"  # what the last stage with a model ran on
SPEED = LOGS / "speed"  # how long each variant took to decode
EXCLUSIONS = Path("exclusions")  # in git: utterances that people left out
SOURCES = Path("sources")  # in git: size and SHA-256 of every file that was downloaded

# Of a trained phase, beside its checkpoints: losses, what could not be used of its data, and
# what it was trained on.
RECORDS = LOG, DEV, LEFT_OUT, COMPUTE = ("log.tsv", "dev.tsv", "left_out.tsv", "compute.json")

# How a row names a file that is no shard: @CORPUS/PATH, below the folder at `files_of(CORPUS)`.
IN_PLACE = "@"

# The end of a message about a shard that is not there.
HOW_TO_GET_SHARDS = "`dvc checkout` or `dvc pull data/raw` brings it back, or `dvc repro` makes it"

# data/split holds one table per set; models are compared on the last two. By a sample of the dev
# set one of them is chosen, since what a set chose looks better on it than it is.
SETS = ("train", "dev", "test", "ood")
TEST_SETS = SETS[2:]
DEV_SAMPLE = "dev_sample"
DECODED_SETS = (DEV_SAMPLE, *TEST_SETS)
# Music and noise: the set that such rows are for, and the flag with which they are in left_out.
NOT_SPEECH: Final = "not_speech"


def scratch_root() -> Path:
    """Where unfinished work and downloads lie: .scratch, in $GALGAME_ASR_SCRATCH or the repository.

    DVC_ROOT is the repository also inside the copies that `dvc exp run --temp` makes.
    """
    root = os.environ.get("GALGAME_ASR_SCRATCH") or os.environ.get("DVC_ROOT", ".")
    return Path(root) / ".scratch"


def files_of(corpus: str) -> Path:
    """The link to the folder of a corpus whose audio stays where it is."""
    return scratch_root() / "files" / corpus
