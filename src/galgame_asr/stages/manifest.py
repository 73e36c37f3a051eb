"""Stage manifest@CORPUS: one row per utterance, with flags, and counts of the flags."""

import json
from collections.abc import Sequence
from dataclasses import replace

from galgame_asr.core.files import write_text
from galgame_asr.core.params import load
from galgame_asr.core.paths import DECISIONS, MANIFEST, QUALITY, RAW, scratch_root
from galgame_asr.manifests import corrections
from galgame_asr.manifests.index import Corpus, index
from galgame_asr.manifests.params import ManifestParams, severity_of
from galgame_asr.messages.console import run


def main(arguments: Sequence[str]) -> None:
    """Index the corpus named by the only argument."""
    (name,) = arguments
    params = load(ManifestParams, "manifest")
    kind = load(str, f"corpora.{name}.kind")
    severity = severity_of(name, kind, params.severity, params.exceptions)
    decisions = corrections.histories(corrections.read(DECISIONS / f"{name}.tsv"))
    counts = index(
        Corpus(name, RAW / name, replace(params, severity=severity), decisions),
        MANIFEST / f"{name}.parquet",
        scratch_root() / f"manifest@{name}",
    )
    write_text(QUALITY / f"{name}.json", json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
