"""Stage split: which utterances train, tune and test; refuses leaks between them."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from galgame_asr.core import utterances
from galgame_asr.core.files import prune, write_text
from galgame_asr.core.params import load
from galgame_asr.core.paths import EXCLUSIONS, MANIFEST, METRICS, QUALITY, RAW, SPLIT
from galgame_asr.core.reader import ShardReader
from galgame_asr.manifests.params import Exceptions, FlagSeverity, SignalParams, severity_of
from galgame_asr.messages.console import log, run
from galgame_asr.scoring import groups
from galgame_asr.splitting import exclusions
from galgame_asr.splitting.params import SplitParams
from galgame_asr.splitting.split import IN_SHARDS, Checks, Limit, split


def main(_arguments: Sequence[str]) -> None:
    """Split the manifests of all corpora in params."""
    corpora = load(dict[str, Any], "corpora")
    kinds = {name: entry["kind"] for name, entry in corpora.items()}
    names = sorted(kinds)
    # DVC hashes the folder, so what other params left behind there must go.
    prune(MANIFEST, {f"{name}.parquet" for name in names})
    prune(QUALITY, {f"{name}.json" for name in names})
    rows = pd.concat(
        [utterances.read(MANIFEST / f"{name}.parquet") for name in names], ignore_index=True
    )
    severity = load(FlagSeverity, "manifest.severity")
    exceptions = load(Exceptions, "manifest.exceptions")
    excluded = exclusions.read(EXCLUSIONS, names)
    for name, reasons in excluded.items():
        log.info("%s/%s.tsv leaves out %d utterances", EXCLUSIONS, name, len(reasons))
    grouping = groups.read(load(dict[str, str], "score.groups"), names)
    groups.check(grouping, rows)
    checks = Checks(
        excluded,
        {
            name: Limit(entry["limit"], in_shards=entry["kind"] in IN_SHARDS)
            for name, entry in corpora.items()
            if entry.get("limit")
        },
        {name: severity_of(name, kinds[name], severity, exceptions) for name in names},
        load(SignalParams, "manifest.signal"),
        ShardReader(RAW),
        grouping.of,
    )
    parts, counts = split(rows, load(SplitParams, "split"), checks)
    for name, part in parts.items():
        log.info("%s: %d utterances, %.2f hours", name, len(part), part["duration_s"].sum() / 3600)
        utterances.write(SPLIT / f"{name}.parquet", part)
    write_text(METRICS / "split.json", json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
