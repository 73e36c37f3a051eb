"""One variant: the file of what it said, scored against the references of each set."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from galgame_asr.core.files import write_text
from galgame_asr.decoding import transcripts
from galgame_asr.messages.errors import DataError
from galgame_asr.scoring import names, scored
from galgame_asr.scoring.groups import Grouping
from galgame_asr.scoring.params import ScoreParams
from galgame_asr.scoring.summary import summarise
from galgame_asr.scoring.utterances import score
from galgame_asr.scoring.words import Words

Sets = Mapping[str, pd.DataFrame]  # tables by the name of their set


def score_file(
    file: Path, references: Sets, params: ScoreParams, words: Words, grouping: Grouping
) -> dict[str, pd.DataFrame]:
    """Score the transcripts of a file: a table of utterances for each set.

    Args:
        file: as `transcripts.write` writes it, which rounds.
        references: manifests of the sets.
        params: how both sides are normalised; the tables have columns for names if it has any.
        words: of word error rates.
        grouping: how an utterance's group is found; the tables have a column for it if at all.

    Raises:
        DataError: the file is missing or damaged, or has other utterances than a set.
    """
    decoded, found = transcripts.read(file), {}
    for name, rows in references.items():
        try:
            table = score(name, rows, decoded.get(name, {}), params.normalise, words)
        except DataError as error:
            raise DataError(f"{file}, set {name}: {error}") from None
        if params.names:
            counts = names.count(table, params.names, params.normalise)
            table = table.assign(**{column: counts[column] for column in scored.NAMES})
        by_id = dict(zip(transcripts.keys(rows), grouping.of(rows), strict=True))
        found[name] = table.assign(group=table["id"].map(by_id)) if grouping else table
    return found


def write(parts: Sets, table: Path, summary: Path) -> dict[str, dict[str, Any]]:
    """Write scored utterances as one table, and the summaries of sets that have any.

    Returns:
        the summaries, by set.
    """
    scored.write(table, pd.concat(parts.values(), ignore_index=True))
    summaries = {name: summarise(rows) for name, rows in parts.items() if len(rows)}
    write_text(summary, json.dumps(summaries, ensure_ascii=False, indent=1) + "\n")
    return summaries
