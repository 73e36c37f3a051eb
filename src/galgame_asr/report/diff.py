"""What differs between a reference and a transcript, as runs of characters."""

from dataclasses import dataclass

import jiwer


@dataclass(frozen=True)
class Span:
    """A run of characters: equal on both sides, replaced, missing (`heard` empty) or added."""

    truth: str
    heard: str

    @property
    def edits(self) -> int:
        """Characters of the run that count as errors."""
        return 0 if self.truth == self.heard else max(len(self.truth), len(self.heard))


def diff(truth: str, heard: str) -> list[Span]:
    """Align two normalised texts; the spans join up to both.

    Their edits add up to the edit distance.
    """
    (chunks,) = jiwer.process_characters([truth], [heard]).alignments
    return [
        Span(
            truth[chunk.ref_start_idx : chunk.ref_end_idx],
            heard[chunk.hyp_start_idx : chunk.hyp_end_idx],
        )
        for chunk in chunks
    ]
