"""Stages mix@PHASE and mix_base@KIND: the rows that a phase trains on, data/mix/PHASE.

A phase depends on these alone, so that a corpus that it does not name changes nothing for it, nor
what another phase leaves out.
"""

from collections.abc import Sequence

from galgame_asr.core import utterances
from galgame_asr.core.files import atomic_directory
from galgame_asr.core.params import load
from galgame_asr.core.paths import EXCLUSIONS, MIX, SPLIT
from galgame_asr.messages.console import log, run
from galgame_asr.splitting import exclusions
from galgame_asr.splitting.mix import mixed, select


def main(arguments: Sequence[str]) -> None:
    """Mix for the phase named by the first argument; of base, the second is its kind."""
    name, *kind = arguments
    key = f"base.built.{kind[0]}.pretrain.mix" if kind else f"train.phases.{name}.mix"
    mix = load(dict[str, float], key)
    train, dev, left_out = (
        utterances.read(SPLIT / f"{table}.parquet") for table in ("train", "dev", "left_out")
    )
    reasons = exclusions.read(EXCLUSIONS / name, sorted(mix))
    if reasons:
        going = exclusions.named(train, reasons)
        log.info(
            "%s/%s names %d utterances; %d of them are of the training set and are left out",
            EXCLUSIONS, name, sum(map(len, reasons.values())), going.sum(),
        )  # fmt: skip
        train = train[~going].reset_index(drop=True)
    tables = mixed(train, dev, left_out, mix, key)
    if kind:
        key = f"base.built.{kind[0]}.texts"
        tables["texts"] = select(train, dict.fromkeys(load(tuple[str, ...], key), 1.0), key)
    with atomic_directory(MIX / name) as directory:
        for table, rows in tables.items():
            log.info(
                "%s: %d utterances, %.2f hours", table, len(rows), rows["duration_s"].sum() / 3600
            )
            utterances.write(directory / f"{table}.parquet", rows)


if __name__ == "__main__":
    run(main)
