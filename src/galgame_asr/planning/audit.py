"""How long the audits of params.yaml take, and how much disk."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from galgame_asr.core.paths import SPEED
from galgame_asr.decoding import speed
from galgame_asr.experiment.params import Params
from galgame_asr.planning import published
from galgame_asr.planning.published import GB

# Seconds of speech per second of decoding: Fun-ASR-Nano-2512's size on an H100, with 43 utterances
# (EXPERIMENTS.md, 2026-11-26), so that more at once are rather faster.
RTFX, SOURCE = 36.5, "an H100"
# Of an utterance in data/heard, data/audit and .scratch together, of ids of 32 letters and lines of
# some 20 characters that hardly compress; rendered ones, much alike, took half.
ROW_BYTES, MODEL_BYTES = 100, 150


def lines(params: Params, table: Path, utterance_s: float) -> Iterator[str]:
    """One for each audit.

    Args:
        params: all sections.
        table: the training set, if it is here.
        utterance_s: the average duration where it is not.
    """
    audit = params.audit
    for corpus, own in audit.corpora.items():
        length = _length(params, corpus, table, utterance_s)
        if length is None:
            yield f"Audit of {corpus}: it is not here yet, and no size is published."
            continue
        utterances, hours = length
        wanted = own.sample if isinstance(own.sample, int) else own.sample * utterances
        share = min(wanted / utterances, 1.0)
        recorded = [speed.read(SPEED / f"{name}-{audit.prompt}.json") for name in audit.checkpoints]
        needed = sum(share * hours / (known.rtfx if known else RTFX) for known in recorded)
        source = f"the speed of {SOURCE}" if None in recorded else "the speed of the decodes here"
        size = share * utterances * (ROW_BYTES + MODEL_BYTES * len(recorded))
        yield (
            f"Audit of {corpus}: {share * utterances:,.0f} utterances by {len(recorded)} model(s), "
            f"{needed:.3g} hours at {source}, {size / GB:.2g} GB."
        )


def _length(
    params: Params, corpus: str, table: Path, utterance_s: float
) -> tuple[float, float] | None:
    """Training utterances of a corpus, and their hours; None: nobody knows."""
    if table.exists():
        rows = pd.read_parquet(table, columns=["corpus", "duration_s"])
        own = rows["duration_s"][rows["corpus"] == corpus]
        if len(own):
            return len(own), float(own.sum()) / 3600
    size = published.size(params.corpora[corpus])
    if size is None or size.train_h is None:
        return None
    return size.train_h * 3600 / utterance_s, size.train_h
