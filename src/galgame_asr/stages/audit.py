"""Stage audit@CORPUS: labels of training rows held against what models hear in them."""

import json
from collections.abc import Sequence
from pathlib import Path

from galgame_asr.auditing import compare, hearing
from galgame_asr.auditing.params import CorpusAudit, FlagSeverities
from galgame_asr.core import utterances
from galgame_asr.core.files import prune, write_text
from galgame_asr.core.params import load
from galgame_asr.core.paths import AUDIT, AUDITED, HEARD, MACHINE, RAW, SPLIT
from galgame_asr.core.reader import ShardReader
from galgame_asr.decoding.params import LongAudioParams
from galgame_asr.decoding.segments import load_detector
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams
from galgame_asr.messages.console import log, run
from galgame_asr.scoring.words import Words, require_dictionary
from galgame_asr.text.params import NormaliseParams


def main(arguments: Sequence[str]) -> None:
    """Audit the corpus named by the only argument."""
    (corpus,) = arguments
    compute.set_up(load(ComputeParams, "compute"), MACHINE)
    require_dictionary(load(str, "score.dictionary"))
    params = load(CorpusAudit, f"audit.corpora.{corpus}")
    checkpoints = load(tuple[str, ...], "audit.checkpoints")
    files = {name: HEARD / corpus / f"{name}.parquet" for name in checkpoints}
    # DVC hashes the folder, so what other params left behind there must go.
    prune(HEARD / corpus, {f"{name}.parquet" for name in checkpoints})
    train = utterances.read(SPLIT / "train.parquet")
    rows = hearing.sampled(train, corpus, params.sample)
    heard = [hearing.read(file) for file in files.values()]
    found = compare.compare(rows, heard, load(NormaliseParams, "score.normalise"), Words())
    flags, bounds = compare.flag(found, params.thresholds)
    vad = load(LongAudioParams, "decode.long_audio")
    detector = load_detector(vad.vad, Path(vad.directory) if vad.directory else None)
    flags["not_speech"] = False
    doubtful = flags["disagrees"]
    flags.loc[doubtful, "not_speech"] = compare.without_speech(
        rows[doubtful], ShardReader(RAW), detector
    )
    found["flags"] = compare.listed(flags)
    compare.refuse_failed(found, load(FlagSeverities, "audit.severity"))
    counts = compare.counts(found, checkpoints, bounds)
    log.info("%d of %d labels are flagged: %s", counts["flagged"], len(found), counts["flags"])
    compare.write(AUDIT / f"{corpus}.parquet", found)
    write_text(AUDITED / f"{corpus}.json", json.dumps(counts, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
