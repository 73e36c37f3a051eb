"""The report page: one HTML file with all it needs, for a browser without a network."""

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.report import browser, exports, formats, plots
from galgame_asr.report.browser import ReadClip
from galgame_asr.report.collect import Tables
from galgame_asr.report.exports import Exports
from galgame_asr.report.results import Results, Variant
from galgame_asr.report.sentences import (
    CLASS_NAMES,
    CLASS_TEXTS,
    FLAG_NAMES,
    FLAG_TEXTS,
    Speeds,
    headline,
    speed_legend,
)

SUSPECTS = 40  # listed per set


def build(
    tables: Tables,
    results: Sequence[Results],
    curriculum: Curriculum,
    read_clip: ReadClip,
    checked: Exports,
    speeds: Speeds | None = None,
) -> str:
    """The page as text.

    Args:
        tables: scored utterances of each variant, to be looked at one by one.
        results: what `collect` made of them, and of variants without texts.
        curriculum: the order of the checkpoints.
        read_clip: gives the audio of an utterance as a data: address.
        checked: what was found about exports.
        speeds: of variants, where they are to be shown.
    """
    loader = jinja2.PackageLoader("galgame_asr.report", "assets")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "format": formats,
        "class_names": CLASS_NAMES,
        "class_texts": CLASS_TEXTS,
        "flag_names": FLAG_NAMES,
        "flag_texts": FLAG_TEXTS,
    }
    data = browser.data(tables, read_clip)
    data |= {"class_names": list(CLASS_NAMES.values()), "flag_names": list(FLAG_NAMES.values())}
    return environment.get_template("page.html.jinja").render(
        css=Markup(loader.get_source(environment, "page.css")[0]),
        js=Markup(loader.get_source(environment, "page.js")[0]),
        results=results,
        curriculum=curriculum,
        headline=headline(results),
        opened=Variant(curriculum.newest(), curriculum.prompts[0]),
        exports=[
            (exports.cells(name, verified), bool(verified.problems))
            for name, verified in checked.items()
        ],
        export_failures=exports.failures(checked),
        export_head=exports.HEAD,
        export_legend=exports.LEGEND,
        speeds=speeds or {},
        speed_legend=speed_legend(speeds) if speeds else [],
        plots=_plots(results, curriculum, speeds or {}),
        suspects={r.name: browser.suspects(tables, r.name, SUSPECTS) for r in results},
        data=Markup(browser.as_json(data)),
        most_suspects=SUSPECTS,
        listed=len(tables),
        limits=browser,
    )


def _plots(results: Sequence[Results], curriculum: Curriculum, speeds: Speeds) -> Mapping[str, Any]:
    return {
        "domains": plots.domains(results) if results else "",
        "curves": {r.name: plots.curve(r, curriculum) for r in results},
        "speeds": {r.name: plots.against_speed(r, speeds) for r in results if speeds},
        "breakdowns": {r.name: plots.breakdown(r, CLASS_NAMES) for r in results},
    }
