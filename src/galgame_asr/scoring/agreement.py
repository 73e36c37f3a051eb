"""Whether two models, of which one is an export of the other, say the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from galgame_asr.decoding.transcript import Transcript
from galgame_asr.params.score import NormaliseParams
from galgame_asr.scoring.alignment import utterance_counts
from galgame_asr.text.normalise import normalise


@dataclass(frozen=True)
class Agreement:
    """What two models said about the same utterances."""

    utterances: int
    # Ids of those with other texts.
    differing: Sequence[str]
    # Different texts of the checkpoint: one that always says the same proves little.
    distinct: int
    # Of the log probability of equal texts, the largest difference; None if no text is equal.
    log_prob_difference: float | None
    # None where the references have no characters.
    cer: float | None
    cer_checkpoint: float | None

    @property
    def equal(self) -> int:
        """Utterances with the same text."""
        return self.utterances - len(self.differing)


def compare(
    ids: Sequence[str],
    references: Sequence[str],
    checkpoint: Sequence[Transcript],
    export: Sequence[Transcript],
    rules: NormaliseParams,
) -> Agreement:
    """Compare two models, utterance by utterance; raw texts must be equal to the letter."""
    differing, differences = [], []
    for id_, expected, found in zip(ids, checkpoint, export, strict=True):
        if expected.text == found.text:
            differences.append(abs(expected.log_prob - found.log_prob))
        else:
            differing.append(id_)
    return Agreement(
        utterances=len(ids),
        differing=differing,
        distinct=len({transcript.text for transcript in checkpoint}),
        log_prob_difference=max(differences, default=None),
        cer=_cer(references, export, rules),
        cer_checkpoint=_cer(references, checkpoint, rules),
    )


def _cer(
    references: Sequence[str], transcripts: Sequence[Transcript], rules: NormaliseParams
) -> float | None:
    truth = [normalise(text, rules) for text in references]
    heard = [normalise(transcript.text, rules) for transcript in transcripts]
    characters = sum(map(len, truth))
    errors = int(utterance_counts(truth, heard).sum())
    return errors / characters if characters else None
