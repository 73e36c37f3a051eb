"""Pictures of a run for the pages: plots as files of their own, in the colours of a light page."""

import csv
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from galgame_asr.core.paths import DEV, LOG
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.messages.errors import ConfigError
from galgame_asr.report import plots
from galgame_asr.report.collect import summarised

COLOUR = re.compile(r"--([\w-]+): light-dark\((#\w+), #\w+\);")
WIDTH = 760  # pixels
MARGIN = 10


def variants(directory: Path, curriculum: Curriculum) -> str:
    """The report's plot of all variants, in domain and out of domain.

    Args:
        directory: metrics/variants.
        curriculum: the checkpoints and prompts.

    Raises:
        DataError: a variant's summary is missing.
    """
    return _alone(plots.domains(summarised(directory, curriculum)))


def learning(directory: Path, phases: Iterable[str]) -> str:
    """Losses over the steps of each phase.

    Args:
        directory: metrics/training, with PHASE/log.tsv and PHASE/dev.tsv.
        phases: their names in their order.

    Raises:
        ConfigError: a table is missing or has no row.
    """
    return _alone(
        plots.learning(
            {
                name: (
                    _column(directory / name / LOG, "loss"),
                    _column(directory / name / DEV, "dev_loss"),
                )
                for name in phases
            }
        )
    )


def _column(path: Path, name: str) -> list[tuple[int, float]]:
    """(step, value) of each row."""
    rows = []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
    if not rows:
        raise ConfigError(f"{path} is missing or has no row; `dvc repro` writes it")
    return [(int(row["step"]), float(row[name])) for row in rows]


def _alone(svg: str) -> str:
    """An element of the report page as a file, on a ground of its own: readers have dark pages too.

    It names no variable of the page and no font that a viewer must have.
    """
    css = (resources.files("galgame_asr.report") / "assets/page.css").read_text(encoding="utf-8")
    light = dict(COLOUR.findall(css))
    svg = re.sub(r"var\(--([\w-]+)\)", lambda name: light[name[1]], svg)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert box
    width, height = (float(side) + 2 * MARGIN for side in box.groups())
    frame = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
        f'height="{round(WIDTH * height / width)}" color="{light["text"]}" '
        f'font-family="system-ui, sans-serif" '
        f'viewBox="-{MARGIN} -{MARGIN} {width:g} {height:g}"'
    )
    ground = (
        f'<rect x="-{MARGIN}" y="-{MARGIN}" width="100%" height="100%" fill="{light["surface"]}"/>'
    )
    svg = svg.replace(f" {box[0]}", "", 1).replace("<svg", frame, 1)
    return svg.replace("</desc>", f"</desc>{ground}", 1) + "\n"
