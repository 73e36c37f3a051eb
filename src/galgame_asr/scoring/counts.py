"""Errors counted over a set of utterances."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class ErrorCounts:
    """Errors summed over utterances."""

    utterances: int
    characters: int  # of the references
    substitutions: int
    deletions: int
    insertions: int

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read the counts out of a score file, which holds more."""
        return cls(**{field.name: value[field.name] for field in fields(cls)})

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def cer(self) -> float:
        """Errors per reference character: sums first, then one division."""
        return self.errors / self.characters
