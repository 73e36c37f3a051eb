"""The figures of one model for a terminal: `galgame-asr evaluate`."""

import unicodedata
from collections.abc import Sequence

from galgame_asr.report import formats
from galgame_asr.report.results import Results, Scored
from galgame_asr.report.sentences import FLAG_NAMES


def text(everything: Sequence[Results]) -> str:
    """One table for each set, with a column for each prompt."""
    return "\n\n".join(_set(results) for results in everything)


def _set(results: Results) -> str:
    """Rates and flags as the report names them, and the decision against an earlier result."""
    found = results.scored
    rows = [
        ["", *(s.variant.prompt for s in found)],
        ["CER", *(formats.rate(s.cer) for s in found)],
        ["95% interval", *(formats.interval(s.cer) for s in found)],
        *_macro(found),
        ["capped", *(formats.rate(s.capped) for s in found)],
        ["kana", *(formats.rate(s.kana) for s in found)],
        ["WER", *(formats.rate(s.wer) for s in found)],
        ["right", *(formats.rate(s.sentences) for s in found)],
        ["S, D, I", *(f"{s.substitutions}, {s.deletions}, {s.insertions}" for s in found)],
        *_names(found),
        *([title, *(str(s.flags[flag]) for s in found)] for flag, title in FLAG_NAMES.items()),
    ]
    compared = list(results.previous.values())
    rows += (
        [
            ["change in points", *map(formats.change, compared)],
            ["95% interval", *map(formats.change_interval, compared)],
            ["MAPSSWE", *(formats.p_value(c.p) for c in compared)],
            ["detectable", *map(formats.detectable, compared)],
            ["on utterances", *(str(c.utterances) for c in compared)],
            ["decision", *(c.decision for c in compared)],
        ]
        if compared
        else []
    )
    lines = [
        f"{found[0].variant.checkpoint}, set {results.name}: {results.utterances:,} utterances, "
        f"{results.characters:,} characters",
        *_aligned(rows),
    ]
    if compared:
        lines.insert(-6, f"against {compared[0].against.checkpoint}, by the capped CER")
    return "\n".join(lines)


def _macro(found: Sequence[Scored]) -> list[list[str]]:
    """The mean over groups, of utterances that have them."""
    means = [scored.macro.cer for scored in found if scored.macro]
    if not means:
        return []
    return [
        ["macro average", *map(formats.rate, means)],
        ["95% interval", *map(formats.interval, means)],
    ]


def _names(found: Sequence[Scored]) -> list[list[str]]:
    """Rates of names, where they were counted."""
    columns = [formats.names(scored.names) for scored in found if scored.names]
    lines = zip(formats.NAMES, zip(*columns, strict=True), strict=True) if columns else ()
    return [
        row
        for title, cells in lines
        for row in (
            [title, *(value for value, _ in cells)],
            ["95% interval", *(between for _, between in cells)],
        )
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _width(text: str) -> int:
    """Columns of a terminal: two of a kana or kanji."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
