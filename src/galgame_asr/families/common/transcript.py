"""What decoding gives for one utterance."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Transcript:
    """A decoded text and how sure the model is of it."""

    text: str
    # Tokens generated, the end included.
    num_tokens: int
    # Natural logarithm of the probability of all of them; None where a runtime does not tell.
    log_prob: float | None

    def as_row(self) -> dict[str, Any]:
        """The values as they stand in files."""
        log_prob = None if self.log_prob is None else round(self.log_prob, 3)
        return {"text": self.text, "tokens": self.num_tokens, "log_prob": log_prob}
