"""How figures are written, the same on the page and in report.md."""

from collections.abc import Mapping, Sequence

from galgame_asr.decoding.speed import Speed
from galgame_asr.report.results import Comparison, Macro, Names, Rate

NONE = "–"
NAMES = ("names: recall", "precision", "false per utterance")
NAMED = (
    "Recall: of the names in the references, those that are in the transcript of their utterance "
    "too. Precision: of the names in the transcripts, those that were said. Counts: names said, "
    "found, heard."
)
MINUS = "−"


def without_zeros(
    titles: Mapping[str, str], rows: Sequence[Mapping[str, float]]
) -> tuple[dict[str, str], str]:
    """Take the columns out of a table in which every value is 0.

    Args:
        titles: of the columns, by name.
        rows: values by the name of the column.

    Returns:
        titles of the other columns by name, and a line that names those left out, if any.
    """
    shown = {name: title for name, title in titles.items() if any(row[name] for row in rows)}
    zeros = [title for name, title in titles.items() if name not in shown]
    return shown, f"0 everywhere: {', '.join(zeros)}." if zeros else ""


def percent(value: float | None) -> str:
    """12.12%."""
    return NONE if value is None else f"{value:.2%}".replace("-", MINUS)


def grouped(macro: Macro, shown: int) -> str:
    """What the mean over groups is of, and what it leaves out."""
    largest = f", of which the {shown} largest are shown" if macro.groups > shown else ""
    without = (
        f" {macro.without_group:,} utterances have no group and are not in it."
        if macro.without_group
        else ""
    )
    return (
        f"Macro average: the mean over {macro.groups:,} groups{largest}; its interval is of whole "
        f"groups drawn at random.{without}"
    )


def names(found: Names) -> list[tuple[str, str]]:
    """Recall, precision and false names, each with its interval."""
    rates = (found.recall, found.precision, found.false_per_utterance)
    return [(rate(value), interval(value)) for value in rates]


def rate(rate: Rate | None) -> str:
    """The value of a rate as a percentage."""
    return percent(None if rate is None else rate.value)


def interval(rate: Rate | None) -> str:
    """9.53–15.01: the bounds as percentages."""
    return NONE if rate is None else f"{100 * rate.low:.2f}–{100 * rate.high:.2f}"


def points(value: float) -> str:
    """A difference of two rates in points: −9.31, 0.00."""
    return f"{100 * value:+.2f}".replace("-", MINUS).replace("+0.00", "0.00")


def change(comparison: Comparison) -> str:
    """The difference that decides, in points."""
    return NONE if comparison.change is None else points(comparison.change.value)


def change_interval(comparison: Comparison) -> str:
    """The bounds of the difference that decides: −12.10 to −6.60."""
    found = comparison.change
    return NONE if found is None else f"{points(found.low)} to {points(found.high)}"


def detectable(comparison: Comparison) -> str:
    """The smallest true difference that would show, in points."""
    return NONE if comparison.detectable is None else f"{100 * comparison.detectable:.2f}"


def speed(found: Speed | None) -> tuple[str, str, str, str]:
    """RTFx, its range, the number of runs, and the megabytes of the model."""
    if found is None:
        return (NONE,) * 4
    low, high = found.range
    runs = len(found.seconds)
    between = f"{low:.1f}–{high:.1f}" if runs > 1 else NONE
    return f"{found.rtfx:.1f}", between, str(runs), f"{found.conditions.size_mb:,.1f}"


def p_value(p: float | None) -> str:
    """Of a test: p = 0.040."""
    if p is None:
        return NONE
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
