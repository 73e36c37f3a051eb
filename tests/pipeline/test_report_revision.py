"""`galgame-asr report --compare REV` reads another revision's scores through DVC."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.report import against
from galgame_asr.report.results import Variant
from galgame_asr.scoring import scored
from tests import tables

CURRICULUM = Curriculum(("base",), ("none",), {}, {})
TABLE = Path("data/scored/base-none.parquet")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with scores in two commits: tag `old`, and 9 utterances of it changed later."""
    monkeypatch.chdir(tmp_path)
    table = tables.tables(CURRICULUM, sets=("test",), utterances=12)[Variant("base", "none")]
    for command in (
        "git init --quiet",
        "git config user.email test@example.org",
        "git config user.name Test",
        "git commit --quiet --allow-empty --message before",
        "git tag before",
        f"{sys.executable} -m dvc init --quiet",
    ):
        subprocess.run(command.split(), check=True)
    for tag, rows in {"old": table, "new": table.iloc[3:]}.items():
        scored.write(TABLE, rows)
        subprocess.run([sys.executable, "-m", "dvc", "add", "--quiet", str(TABLE)], check=True)
        subprocess.run(["git", "add", "."], check=True)
        subprocess.run(["git", "commit", "--quiet", "--message", tag], check=True)
        subprocess.run(["git", "tag", tag], check=True)
    split = tmp_path / "data/split"
    split.mkdir()
    for name in ("test", "ood"):
        tables.manifest_without_rows(split / f"{name}.parquet")
    return tmp_path


def test_the_page_has_both(repository: Path) -> None:
    """Rows of the other revision, paired with ours by id."""
    said = against.write("old", CURRICULUM, repository / "report-old.html")
    assert "1 of 1 variants are in old too" in said[0]
    assert said[1] == "In domain (test): 9 of 9 utterances in common"
    page = (repository / "report-old.html").read_text()
    assert "base @ old" in page
    assert "Against old" in page
    assert subprocess.run(
        ["git", "status", "--porcelain"], capture_output=True, text=True, check=True
    ).stdout.split() == ["??", "data/split/", "??", "report-old.html"]


def test_what_cannot_be_read_is_named(repository: Path) -> None:
    """An unknown revision, one without scores, and one whose scores are nowhere."""
    output = repository / "report.html"
    with pytest.raises(ConfigError, match="nobody is no revision of this repository"):
        against.write("nobody", CURRICULUM, output)
    with pytest.raises(DataError, match="revision before has no data/scored"):
        against.write("before", CURRICULUM, output)
    shutil.rmtree(repository / ".dvc/cache")
    with pytest.raises(DataError, match="neither in the cache nor in the remote"):
        against.write("old", CURRICULUM, output)
    assert not output.exists()
