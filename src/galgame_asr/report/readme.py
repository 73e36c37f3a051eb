"""The result table in README.md, taken from the report so that nobody types a figure."""

from pathlib import Path

from galgame_asr.errors import ConfigError
from galgame_asr.files import write_text

BEGIN = "<!-- results: written by `make readme` -->"
END = "<!-- end of results -->"


def update(readme: Path, report: Path) -> None:
    """Write the tables of `metrics/report.md` between the markers of README.md.

    Raises:
        ConfigError: a file is missing, or the README does not hold both markers in order.
    """
    write_text(readme, with_results(_read(readme), _read(report)))


def with_results(readme: str, report: str) -> str:
    """The README's text with the report's findings and tables of variants between the markers.

    Its title and the details below the tables are left out.

    Raises:
        ConfigError: as for `update`.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ConfigError(f"the README needs the lines {BEGIN} and {END}, in this order")
    tables = report.partition("\n")[2].partition("\n### ")[0].strip()
    lines = [
        f"**{line.removeprefix('## ')}**" if line.startswith("## ") else line
        for line in tables.splitlines()
    ]
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}"


def _read(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; run from the repository root after `dvc repro`")
    return path.read_text(encoding="utf-8")
