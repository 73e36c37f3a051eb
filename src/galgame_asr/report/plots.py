"""Plots of the report page: SVG that takes its colours from the page, so that both themes work."""

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from galgame_asr.decoding.speed import Speed
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.report.formats import without_zeros
from galgame_asr.report.results import Rate, Results, Scored, Variant

# Colours to draw with, and what the page makes of them; page.css defines the variables.
INK, MUTED, LINE = "#010203", "#010204", "#010205"
SERIES = tuple(f"#0102{number:02x}" for number in range(0x11, 0x17))
PAGE_COLOURS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, start=1)},
}
MARKERS = "osD^vP"
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "font.size": 10,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.color": LINE,
    "ytick.labelcolor": INK,
}
WIDTH = 7.2  # inches; the page scales it
CHARACTER = 1 / 12  # inches: about the width of a letter
NAME_WIDTH = 34  # characters of a variant's name in a line


def curve(results: Results, curriculum: Curriculum) -> Markup:
    """CER against the curriculum: one line per prompt, each phase from where it started."""
    title = f"CER along the curriculum, {results.title.lower()}"
    with _style(f"curve {results.name}"):
        figure, axes = _figure(3.4)
        for number, prompt in enumerate(curriculum.prompts):
            _curve_of_prompt(axes, results, curriculum, prompt, number)
        ends = {curriculum.position(c): c for c in reversed(curriculum.checkpoints)}
        places = sorted(ends)
        names = [ends[place] for place in places]
        tilt: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(places, names, **(tilt if _crowded(places, names) else {}))
        axes.set_ylabel("CER, %")
        axes.set_ylim(bottom=0)
        axes.grid(visible=False, axis="x")
        figure.legend(loc="outside upper left", ncols=3)
        lines = [f"{s.variant.name} {_percent(s.cer)}" for s in _along(results, curriculum)]
        return _svg(figure, title, "; ".join(lines))


def _curve_of_prompt(
    axes: Axes, results: Results, curriculum: Curriculum, prompt: str, number: int
) -> None:
    colour, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
    shift = 0.03 * (number - (len(curriculum.prompts) - 1) / 2)  # intervals beside each other
    points = {
        s.variant.checkpoint: (curriculum.position(s.variant.checkpoint) + shift, s.cer)
        for s in _along(results, curriculum)
        if s.variant.prompt == prompt and s.cer
    }
    for phase, init in curriculum.inits.items():
        names = [init, *(c for c in curriculum.checkpoints if c.rpartition("/")[0] == phase)]
        line = sorted(points[name] for name in names if name in points)
        axes.plot(
            [x for x, _ in line], [100 * rate.value for _, rate in line], color=colour, lw=1.4
        )
    for checkpoint, (x, rate) in points.items():
        averaged = checkpoint in curriculum.averaged
        place = x + (0.16 if averaged else 0.0)
        _dot(axes, rate, place, colour, marker, hollow=averaged, vertical=True)
        if averaged:
            axes.annotate(
                checkpoint, (place, 100 * rate.value), (7, 0), textcoords="offset points",
                fontsize=8, va="center", color=MUTED, visible=number == 0,
            )  # fmt: skip
    axes.plot([], [], color=colour, marker=marker, lw=1.4, label=f"prompt {prompt}")


def _crowded(places: Sequence[float], names: Sequence[str]) -> bool:
    """Whether names side by side below the plot would run into each other."""
    inch = (places[-1] - places[0]) / (0.8 * WIDTH)  # beside the scale and the margins
    return any(
        ((len(name) + len(other)) / 2 + 1) * CHARACTER * inch > right - left
        for (left, name), (right, other) in pairwise(zip(places, names, strict=True))
    )


def domains(everything: Sequence[Results]) -> Markup:
    """CER of each variant in domain and out of domain, with intervals."""
    title = "CER in domain and out of domain"
    variants = [scored.variant for scored in everything[0].scored]
    with _style("domains"):
        figure, axes = _rows(variants, 0.1 * (len(everything) - 1))
        described = []
        for number, results in enumerate(everything):
            colour, marker = SERIES[number], MARKERS[number]
            for scored in results.scored:
                if scored.cer and scored.variant in variants:
                    row = variants.index(scored.variant) + 0.2 * number
                    _dot(axes, scored.cer, row, colour, marker)
                    described.append(f"{scored.variant.name} {results.name} {_percent(scored.cer)}")
            axes.plot([], [], color=colour, marker=marker, lw=0, label=results.title)
        axes.set_xlim(left=0)
        axes.set_xlabel("CER, %, with 95% interval")
        figure.legend(loc="outside upper left", ncols=2)
        return _svg(figure, title, "; ".join(described))


def breakdown(results: Results, names: Mapping[str, str]) -> Markup:
    """Points of CER put down to each class, one bar per variant.

    Args:
        results: of one set.
        names: what the page calls each class.
    """
    title = f"What the errors are, {results.title.lower()}"
    with _style(f"breakdown {results.name}"):
        figure, axes = _rows([scored.variant for scored in results.scored])
        for row, scored in enumerate(results.scored):
            left = 0.0
            for number, name in enumerate(names):
                width = 100 * scored.classes[name]
                axes.barh(row, width, 0.7, left, color=SERIES[number], edgecolor="none")
                left += width
            axes.text(left, row, f" {left:.1f}", va="center", color=MUTED, fontsize=9)
        shown, _ = without_zeros(names, [scored.classes for scored in results.scored])
        for number, name in enumerate(names):
            if name in shown:
                axes.barh(0, 0, color=SERIES[number], label=names[name])
        axes.set_xlabel("points of CER")
        axes.margins(x=0.08)
        axes.set_xlim(left=0)
        if shown:
            figure.legend(loc="outside upper left", ncols=3)
        return _svg(figure, title, "The table below has the figures.")


def against_speed(results: Results, speeds: Mapping[Variant, Speed]) -> Markup:
    """CER of each variant over how many seconds of audio a second decodes; its size in the name."""
    title = f"CER against speed, {results.title.lower()}"
    with _style(f"speed {results.name}"):
        known = [(s, speeds[s.variant]) for s in results.scored if s.cer and s.variant in speeds]
        in_two = all(len(label(scored.variant)) <= NAME_WIDTH for scored, _ in known)
        # Below the plot, where names take nothing of its width.
        figure, axes = _figure(3.2 + 0.17 * len(known) / (1 + in_two))
        described = []
        for number, (scored, found) in enumerate(known):
            assert scored.cer
            colour, marker = SERIES[number % len(SERIES)], MARKERS[number // len(SERIES) % 6]
            _dot(axes, scored.cer, found.rtfx, colour, marker, vertical=True)
            axes.plot(found.range, [100 * scored.cer.value] * 2, color=colour, lw=1, alpha=0.55)
            size = f"{label(scored.variant)}, {found.conditions.size_mb:,.0f} MB"
            axes.plot([], [], color=colour, marker=marker, lw=0, label=size)
            described.append(f"{scored.variant.name} {_percent(scored.cer)} at {found.rtfx:.1f}")
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.set_xlim(low / 2, high * 2)  # wide enough for a tick or two
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")  # the other is in mathtext
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("RTFx, seconds of audio per second")
        axes.set_ylabel("CER, %, with 95% interval")
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower left", fontsize=8, ncols=1 + in_two)
        return _svg(figure, title, "; ".join(described))


Points = Sequence[tuple[int, float]]


def learning(phases: Mapping[str, tuple[Points, Points]]) -> Markup:
    """Losses of training, phase after phase.

    Args:
        phases: (step, loss) on training and on dev utterances, by phase.
    """
    title = "Loss over the steps of each phase"
    with _style("learning"):
        figure, axes = _figure(2.9)
        start, described = 0, []
        for name, (loss, dev) in phases.items():
            for number, (points, marker) in enumerate(((loss, ""), (dev, MARKERS[1]))):
                axes.plot(
                    [start + step for step, _ in points], [value for _, value in points],
                    color=SERIES[number], marker=marker, ms=5, lw=0 if marker else 1.4,
                    clip_on=False,
                )  # fmt: skip
            axes.annotate(
                name, (start, 1), (4, -4), xycoords=("data", "axes fraction"),
                textcoords="offset points", va="top", fontsize=9, color=MUTED,
            )  # fmt: skip
            described.append(f"{name} ends at {loss[-1][1]:.3f}, dev {dev[-1][1]:.3f}")
            start += max(loss[-1][0], dev[-1][0])
            axes.axvline(start, color=LINE, lw=1, zorder=0)
        axes.plot([], [], color=SERIES[0], lw=1.4, label="training")
        axes.plot([], [], color=SERIES[1], marker=MARKERS[1], lw=0, label="dev set")
        axes.set_xlim(0, start)
        axes.set_ylim(0, 1.15 * axes.get_ylim()[1])  # room for the names
        axes.set_xlabel("steps")
        axes.set_ylabel("loss")
        figure.legend(loc="outside upper left", ncols=2)
        return _svg(figure, title, "; ".join(described))


def label(variant: Variant) -> str:
    """A variant in a plot."""
    at = f" @ {variant.revision}" if variant.revision else ""
    return f"{variant.checkpoint} · {variant.prompt}{at}"


def _along(results: Results, curriculum: Curriculum) -> list[Scored]:
    """The present checkpoints, without baselines."""
    return [
        scored
        for scored in results.scored
        if scored.variant.revision is None and scored.variant.checkpoint in curriculum.checkpoints
    ]


def _percent(rate: Rate | None) -> str:
    return f"{rate.value:.2%}" if rate else "none"


def _dot(
    axes: Axes, rate: Rate, place: float, colour: str, marker: str, *,
    hollow: bool = False, vertical: bool = False,
) -> None:  # fmt: skip
    """A rate with its interval, along the vertical axis or else along the horizontal one."""
    value = 100 * rate.value
    ends, across = [100 * rate.low, 100 * rate.high], [place, place]
    axes.plot(*((across, ends) if vertical else (ends, across)), color=colour, lw=1, alpha=0.55)
    axes.plot(
        *((place, value) if vertical else (value, place)),
        marker=marker, color=colour, ms=5, markerfacecolor="none" if hollow else colour,
    )  # fmt: skip


def _style(salt: str) -> AbstractContextManager[None]:
    """Nobody's own matplotlibrc; names in the SVG that no other plot of the page has."""
    settings: Any = {**mpl.rcParamsDefault, **STYLE, "svg.hashsalt": salt}
    return mpl.rc_context(settings)


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _rows(variants: Sequence[Variant], shift: float = 0.0) -> tuple[Figure, Axes]:
    """A figure with a row for each variant, named at its left; long names take several lines."""
    names = [textwrap.fill(label(variant), NAME_WIDTH) for variant in variants]
    row = 0.3 + 0.17 * max(name.count("\n") for name in names)  # inches
    figure, axes = _figure(0.9 + row * len(names))
    axes.set_yticks([number + shift for number in range(len(names))], names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    return figure, axes


def _svg(figure: Figure, title: str, description: str) -> Markup:
    """The figure as an element of the page, with a title and a description for screen readers."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    _, box, inner = re.split(r'<svg [^>]*(viewBox="[^"]*")[^>]*>', text, maxsplit=1)
    inner = re.sub(r'<g id="[^"]*"', "<g", inner)  # they would stand in every plot
    for drawn, colour in PAGE_COLOURS.items():
        inner = inner.replace(drawn, colour)
    inner = re.sub(r"font-family: [^;\"]*;? ?", "", inner)  # the page's
    return Markup(
        f'<svg role="img" {box} xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{inner}"
    )
