"""What decoding gives for one utterance."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Transcript:
    """A decoded text and how sure the model is of it."""

    text: str
    # Tokens generated, the end included.
    num_tokens: int
    # Natural logarithm of the probability of all of them.
    log_prob: float
