"""Graphics cards that can be rented or bought, and which of them a phase fits on."""

from collections.abc import Mapping
from dataclasses import dataclass

GIB = 2**30
# Beyond tensors: the CUDA context, and what the caching allocator cannot use between them.
# Common figures.
CUDA_CONTEXT_BYTES = 0.6 * GIB
FRAGMENTATION = 1.05
# And of what a card has, this is left by its driver.
LEFT = 0.97
# Of a card that is not only just enough: so much more memory than planned.
SPARE = 1.25
# An utterance of 30 s, the longest that the corpora here hold; it cannot be divided.
LONGEST_FRAMES = 3000


@dataclass(frozen=True)
class Card:
    """One card, by the maker's data sheet."""

    name: str
    memory_gib: int  # without what error correction takes
    has_bf16: bool = True

    @property
    def room_bytes(self) -> float:
        """What a step's tensors may take."""
        return (LEFT * self.memory_gib * GIB - CUDA_CONTEXT_BYTES) / FRAGMENTATION

    def __str__(self) -> str:
        return self.name if self.has_bf16 else f"{self.name} (fp16)"


# From small to large; T4 and L40S keep a sixteenth of their memory for error correction.
CARDS = (
    Card("RTX 4060 8 GB", 8),
    Card("RTX 2080 Ti 11 GB", 11, has_bf16=False),
    Card("RTX 3060 12 GB", 12),
    Card("T4 16 GB", 15, has_bf16=False),
    Card("RTX 4080 16 GB", 16),
    Card("RTX 4090 24 GB", 24),
    Card("V100 32 GB", 32, has_bf16=False),
    Card("RTX 5090 32 GB", 32),
    Card("A100 40 GB", 40),
    Card("L40S 48 GB", 45),
    Card("H100 80 GB", 80),
    Card("H200 141 GB", 140),
)


def smallest(peak_bytes: int) -> Card | None:
    """The first that has room for a step."""
    return next((card for card in CARDS if peak_bytes <= card.room_bytes), None)


def sensible(peak_bytes: int) -> Card | None:
    """The first with bf16 that has room to spare."""
    fits = (card for card in CARDS if card.has_bf16 and SPARE * peak_bytes <= card.room_bytes)
    return next(fits, None)


def largest(cards: Mapping[str, Card | None]) -> Card | None:
    """The one that all phases fit on; None where a phase fits on none."""
    found = list(cards.values())
    return None if None in found else max((c for c in found if c), key=CARDS.index)
