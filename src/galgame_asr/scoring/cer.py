"""Character error rate of a set of utterances."""

from collections.abc import Mapping

import jiwer

from galgame_asr.errors import DataError
from galgame_asr.scoring.counts import ErrorCounts
from galgame_asr.scoring.utterances import check_ids
from galgame_asr.text.normalise import normalise


def count_errors(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> ErrorCounts:
    """Align raw texts by utterance id after normalising both sides.

    Raises:
        DataError: an id is on one side only, or all references are empty.
    """
    check_ids(references, hypotheses)
    order = sorted(references)
    truth = [normalise(references[id_]) for id_ in order]
    heard = [normalise(hypotheses[id_]) for id_ in order]
    if not any(truth):
        raise DataError(f"none of {len(order)} references holds a letter; nothing to score")
    found = jiwer.process_characters(truth, heard)
    return ErrorCounts(
        utterances=len(order),
        characters=sum(len(text) for text in truth),
        substitutions=found.substitutions,
        deletions=found.deletions,
        insertions=found.insertions,
    )
