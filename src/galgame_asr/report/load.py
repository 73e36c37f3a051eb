"""Reading what the report is made of: scored utterances, and the audio of some of them."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from galgame_asr.core import utterances
from galgame_asr.core.reader import ShardReader
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.report import clips
from galgame_asr.report.browser import ReadClip
from galgame_asr.report.results import Variant
from galgame_asr.scoring import scored


def tables(
    directory: Path, curriculum: Curriculum, revision: str | None = None
) -> dict[Variant, pd.DataFrame]:
    """The scored utterances of every variant.

    Args:
        directory: with CHECKPOINT-PROMPT.parquet.
        curriculum: the checkpoints, prompts and baselines.
        revision: where the tables are from, if not from the workspace; then a variant
            may be missing.

    Raises:
        DataError: a table is missing or damaged.
    """
    found = {}
    for checkpoint, prompt in curriculum.variants():
        path = directory / f"{checkpoint}-{prompt}.parquet"
        if revision is None or path.is_file():
            found[Variant(checkpoint, prompt, revision)] = scored.read(path)
    return found


def clip_reader(sets: Iterable[Path], reader: ShardReader) -> ReadClip:
    """Gives the audio of an utterance by set and CORPUS/ID.

    Args:
        sets: the manifests of the test sets, each named like its set.
        reader: of their shards.
    """
    rows = {
        (path.stem, f"{row['corpus']}/{row['id']}"): row
        for path in sets
        for row in utterances.read(path).to_dict("records")
    }

    def read(set_: str, id_: str) -> str | None:
        # Another revision may have utterances that are no more.
        row = rows.get((set_, id_))
        return clips.data_uri(reader.read_row(row)) if row else None

    return read
