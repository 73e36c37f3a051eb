"""Character error rate of a set of utterances."""

from collections.abc import Mapping

from galgame_asr.errors import DataError
from galgame_asr.scoring.alignment import utterance_counts
from galgame_asr.scoring.counts import ErrorCounts
from galgame_asr.text.normalise import normalise

SHOWN = 5  # ids named in a message


def count_errors(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> ErrorCounts:
    """Align raw texts by utterance id after normalising both sides.

    Raises:
        DataError: an id is on one side only, or all references are empty.
    """
    for what, ids in {
        "missing": references.keys() - hypotheses.keys(),
        "unexpected": hypotheses.keys() - references.keys(),
    }.items():
        if ids:
            shown = ", ".join(sorted(ids)[:SHOWN])
            raise DataError(f"{len(ids)} transcripts are {what}: {shown}; decode again")
    order = sorted(references)
    truth = [normalise(references[id_]) for id_ in order]
    heard = [normalise(hypotheses[id_]) for id_ in order]
    if not any(truth):
        raise DataError(f"none of {len(order)} references holds a letter; nothing to score")
    substitutions, deletions, insertions = utterance_counts(truth, heard).sum(axis=0).tolist()
    return ErrorCounts(
        utterances=len(order),
        characters=sum(len(text) for text in truth),
        substitutions=substitutions,
        deletions=deletions,
        insertions=insertions,
    )
