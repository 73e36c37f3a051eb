"""Stage manifest@CORPUS: one row per utterance, with flags, and counts of the flags."""

import json
from collections.abc import Sequence

from galgame_asr.core.files import write_text
from galgame_asr.core.params import load
from galgame_asr.core.paths import MANIFEST, METRICS, RAW, scratch_root
from galgame_asr.manifests.index import Corpus, index
from galgame_asr.manifests.params import ManifestParams
from galgame_asr.messages.console import log, run


def main(arguments: Sequence[str]) -> None:
    """Index the corpus named by the only argument."""
    (name,) = arguments
    params = load(ManifestParams, "manifest")
    counts = index(
        Corpus(name, RAW / name, params),
        MANIFEST / f"{name}.parquet",
        scratch_root() / f"manifest@{name}",
    )
    log.info(
        "%s: %d utterances, %d usable, %.2f hours; flags: %s",
        name, counts["utterances"], counts["usable"], counts["hours"],
        ", ".join(f"{flag} {count}" for flag, count in counts["flags"].items() if count) or "none",
    )  # fmt: skip
    write_text(METRICS / "quality" / f"{name}.json", json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
