"""What decoding gives for one utterance."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LabelFit:
    """How an utterance's label fits its speech, by a CTC branch."""

    # Natural logarithm of a token's probability, over all alignments of the label.
    log_prob: float
    lead_s: float  # seconds before the branch hears a token
    tail_s: float  # and after it heard the last one


@dataclass(frozen=True)
class Transcript:
    """A decoded text and how sure the model is of it."""

    text: str
    # Tokens generated, the end included.
    num_tokens: int
    # Natural logarithm of the probability of all of them; None where a runtime does not tell.
    log_prob: float | None
    # Where it was asked for, and the model can tell.
    fit: LabelFit | None = None

    def as_row(self) -> dict[str, Any]:
        """The values as they stand in files."""
        log_prob = None if self.log_prob is None else round(self.log_prob, 3)
        return {"text": self.text, "tokens": self.num_tokens, "log_prob": log_prob}
