"""Stage manifest@CORPUS: one row per utterance, with flags, and counts of the flags."""

import json
from collections.abc import Sequence

from galgame_asr import manifest
from galgame_asr.audio.index import index, quality
from galgame_asr.console import log, run
from galgame_asr.files import write_text
from galgame_asr.params import load
from galgame_asr.params.manifest import ManifestParams
from galgame_asr.paths import MANIFEST, METRICS, RAW


def main(arguments: Sequence[str]) -> None:
    """Index the corpus named by the only argument."""
    (name,) = arguments
    params = load(ManifestParams, "manifest")
    rows = index(name, RAW / name, params)
    counts = quality(rows, params)
    log.info(
        "%s: %d utterances, %d usable, %.2f hours",
        name, counts["utterances"], counts["usable"], counts["hours"],
    )  # fmt: skip
    manifest.write(MANIFEST / f"{name}.parquet", rows)
    write_text(METRICS / "quality" / f"{name}.json", json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
