"""The result tables in README.md, taken from the report so that nobody types a figure."""

import shutil
from pathlib import Path

from galgame_asr.core.files import write_text
from galgame_asr.messages.errors import ConfigError
from galgame_asr.report.markdown import EXPORTS

BEGIN = "<!-- {name}: written by `make readme` -->"
END = "<!-- end of {name} -->"


def update(readme: Path, report: Path, machine: Path) -> None:
    """Write the tables of `metrics/report.md` between the markers of README.md.

    The record of the machine that they are from goes beside the report, to be committed with
    it; it stays as it was where no model has run here.

    Raises:
        ConfigError: a file is missing, or the README does not hold both markers in order.
    """
    write_text(readme, with_results(_read(readme), _read(report)))
    if machine.is_file():
        shutil.copyfile(machine, report.with_name(machine.name))


def with_results(readme: str, report: str) -> str:
    """The README's text with the report's tables between the markers.

    Between one pair the findings and variants, between the other the exports. The report's
    title and the details below the tables are left out.

    Raises:
        ConfigError: as for `update`.
    """
    tables = report.partition("\n")[2].partition("\n### ")[0]
    variants, _, exports = tables.partition(f"\n{EXPORTS}\n")
    lines = [
        f"**{line.removeprefix('## ')}**" if line.startswith("## ") else line
        for line in variants.strip().splitlines()
    ]
    readme = _between(readme, "results", "\n".join(lines))
    return _between(readme, "exports", exports.strip() or "params.yaml names no exports.")


def _between(readme: str, name: str, text: str) -> str:
    begin, end = BEGIN.format(name=name), END.format(name=name)
    before, first, rest = readme.partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise ConfigError(f"the README needs the lines {begin} and {end}, in this order")
    return f"{before}{begin}\n{text}\n{end}{after}"


def _read(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; run from the repository root after `dvc repro`")
    return path.read_text(encoding="utf-8")
