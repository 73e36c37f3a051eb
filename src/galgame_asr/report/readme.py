"""What README.md and docs/ show of a run, made of metrics/ so that nobody types a figure."""

import shutil
from itertools import dropwhile, takewhile
from pathlib import Path

from galgame_asr.core.files import write_text
from galgame_asr.core.params import PARAMS_FILE, read_yaml
from galgame_asr.core.paths import METRICS, TRAINING, VARIANTS
from galgame_asr.experiment import curriculum
from galgame_asr.messages.errors import ConfigError
from galgame_asr.report import pictures
from galgame_asr.report.markdown import EXPORTS

BEGIN = "<!-- {name}: written by `make readme` -->"
END = "<!-- end of {name} -->"


def update(root: Path, machine: Path) -> None:
    """Write the run's tables and pictures into the pages of a repository.

    The record of the machine that they are from goes beside the report, to be committed with
    it; it stays as it was where no model has run here.

    Raises:
        ConfigError: a file is missing, or a page does not hold both markers in order.
        DataError: the summary of a variant is missing.
    """
    for path, text in written(root).items():
        write_text(root / path, text)
    if machine.is_file():
        shutil.copyfile(machine, root / METRICS / machine.name)


def written(root: Path) -> dict[str, str]:
    """The text of every file that shows something of the run, by path.

    Raises:
        ConfigError, DataError: as for `update`.
    """
    report, values = _read(root / METRICS / "report.md"), read_yaml(root / PARAMS_FILE)
    # The title, and the details below the tables, are left out.
    tables = report.partition("\n")[2].partition("\n### ")[0]
    variants, _, exports = tables.partition(f"\n{EXPORTS}\n")
    between = {
        "README.md": ("results", summary(variants)),
        "docs/scores.md": ("variants", _bold_titles(variants)),
        "docs/exports.md": ("exports", exports.strip() or "params.yaml names no exports."),
    }
    return {
        **{page: _between(root / page, name, text) for page, (name, text) in between.items()},
        "docs/variants.svg": pictures.variants(root / VARIANTS, curriculum.of_params(values)),
        "docs/learning.svg": pictures.learning(root / TRAINING, values["train"]["phases"]),
    }


def summary(variants: str) -> str:
    """Each checkpoint with the prompt that is best on dev: CER and decision of both sets.

    Args:
        variants: the report's tables of variants.
    """
    sets = [_first_table(part) for part in variants.split("\n## ")[1:]]
    if not sets:
        return variants.strip()
    prompt = min(sets[0], key=lambda row: float(row[2].rstrip("%")))[1]
    tables = [{row[0]: row for row in rows if row[1] == prompt} for rows in sets]
    titles = [part.partition(":")[0] for part in variants.split("\n## ")[1:]]
    head = ["checkpoint", *(text for title in titles for text in (title, "change in points"))]
    rows = [
        [checkpoint, *(cell for table in tables for cell in _cells(table[checkpoint]))]
        for checkpoint in tables[0]
    ]
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"CER with its 95% interval, prompt `{prompt}`:\n\n{table}"


def _first_table(part: str) -> list[list[str]]:
    """Its cells, without the head."""
    lines = iter(part.splitlines())
    rows = takewhile(bool, dropwhile(lambda line: not line.startswith("| "), lines))
    return [row.strip("| ").split(" | ") for row in rows if row.startswith("| ")][1:]


def _cells(row: list[str]) -> tuple[str, str]:
    return f"{row[3]} ({row[4]})", row[-1]


def _bold_titles(variants: str) -> str:
    """With titles that are no sections of the page."""
    return "\n".join(
        f"**{line.removeprefix('## ')}**" if line.startswith("## ") else line
        for line in variants.strip().splitlines()
    )


def _between(page: Path, name: str, text: str) -> str:
    """The page with the text between its markers."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    before, first, rest = _read(page).partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise ConfigError(f"{page} needs the lines {begin} and {end}, in this order")
    return f"{before}{begin}\n{text}\n{end}{after}"


def _read(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; run from the repository root after `dvc repro`")
    return path.read_text(encoding="utf-8")
