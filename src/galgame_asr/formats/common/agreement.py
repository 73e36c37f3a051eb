"""Whether a model and its export say the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from galgame_asr.families.common.transcript import Transcript
from galgame_asr.text.alignment import utterance_counts
from galgame_asr.text.normalise import normalise
from galgame_asr.text.params import NormaliseParams


@dataclass(frozen=True)
class Said:
    """Transcripts of the same utterances, of a checkpoint and an export of it."""

    checkpoint: Sequence[Transcript]
    # The checkpoint's too, with the features that the export's runtime computes.
    front_end: Sequence[Transcript]
    export: Sequence[Transcript]


@dataclass(frozen=True)
class Agreement:
    """How near an export comes to its checkpoint with the same features."""

    utterances: int
    # Ids of those with other texts.
    differing: Sequence[str]
    # Different texts of the checkpoint: one that always says the same proves little.
    distinct: int
    # Of the log probability of equal texts, the largest difference; None if no text is equal
    # or the runtime gives none.
    log_prob_difference: float | None
    # Of each in `Said`; None where the references have no characters.
    cer: float | None
    cer_front_end: float | None
    cer_checkpoint: float | None

    @property
    def equal(self) -> int:
        """Utterances with the same text."""
        return self.utterances - len(self.differing)

    @property
    def cer_rise(self) -> float:
        """Points of CER that the export loses against the same features; may be negative."""
        return 100 * ((self.cer or 0.0) - (self.cer_front_end or 0.0))


def compare(
    ids: Sequence[str], references: Sequence[str], said: Said, rules: NormaliseParams
) -> Agreement:
    """Compare two models, utterance by utterance; raw texts must be equal to the letter."""
    differing, differences = [], []
    for id_, expected, found in zip(ids, said.front_end, said.export, strict=True):
        if expected.text != found.text:
            differing.append(id_)
        elif found.log_prob is not None and expected.log_prob is not None:
            differences.append(abs(expected.log_prob - found.log_prob))
    return Agreement(
        utterances=len(ids),
        differing=differing,
        distinct=len({transcript.text for transcript in said.front_end}),
        log_prob_difference=max(differences, default=None),
        cer=_cer(references, said.export, rules),
        cer_front_end=_cer(references, said.front_end, rules),
        cer_checkpoint=_cer(references, said.checkpoint, rules),
    )


def _cer(
    references: Sequence[str], transcripts: Sequence[Transcript], rules: NormaliseParams
) -> float | None:
    truth = [normalise(text, rules) for text in references]
    heard = [normalise(transcript.text, rules) for transcript in transcripts]
    characters = sum(map(len, truth))
    errors = int(utterance_counts(truth, heard).sum())
    return errors / characters if characters else None
