"""Where the stages keep things, relative to the repository root."""

from pathlib import Path

RAW = Path("data/raw")
MANIFEST = Path("data/manifest")
SPLIT = Path("data/split")
DECODED = Path("data/decoded")
MODELS = Path("models")
METRICS = Path("metrics")
LOGS = Path("logs")

# The end of a message about a shard that is not there.
HOW_TO_GET_SHARDS = "`dvc checkout` or `dvc pull data/raw` brings it back, or `dvc repro` makes it"

# data/split holds one table per set; models are compared on the last two.
SETS = ("train", "dev", "test", "ood")
TEST_SETS = SETS[2:]
