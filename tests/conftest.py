"""What tests share: generated speech, shards and models; nothing is downloaded."""

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from galgame_asr.corpora.synthetic import ogg
from galgame_asr.shards import folder as shards
from galgame_asr.shards import tar
from galgame_asr.shards.folder import Shard

REPOSITORY = Path(__file__).parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, so that `-m unit` and `-m pipeline` need no decorators."""
    for item in items:
        item.add_marker(item.path.relative_to(REPOSITORY / "tests").parts[0])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was skipped, one line for each reason, which names what brings it."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}")


def committed(path: str) -> str:
    """A file as HEAD has it, whatever a run has written since."""
    done = subprocess.run(
        ["git", "show", f"HEAD:{path}"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return done.stdout


def tone(duration_s: float, hz: float = 220.0) -> bytes:
    """An Ogg file with a tone."""
    time_s = np.arange(round(duration_s * 16_000)) / 16_000
    return ogg.encode((8000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16), 16_000)


def list_shards(directory: Path) -> None:
    """Make the list of a corpus agree with its tars."""
    (directory / shards.LIST).unlink(missing_ok=True)  # it may be a link into DVC's cache
    shards.write_list(directory, [Shard(path) for path in directory.glob("*.tar")])


@pytest.fixture
def make_shard(tmp_path: Path) -> Callable[..., Path]:
    """Write data/raw/CORPUS/SHARD below a temporary root out of {name: content}."""

    def make(files: dict[str, bytes], corpus: str = "vn", shard: str = "vn-000000.tar") -> Path:
        path = tmp_path / "data" / "raw" / corpus / shard
        tar.write(path, files.items())
        list_shards(path.parent)
        return path

    return make
