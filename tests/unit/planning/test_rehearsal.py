"""The copy that a rehearsal runs in."""

import subprocess
from pathlib import Path

import pytest

from galgame_asr.planning import rehearsal


def test_lists_of_ids_stay_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the rendered corpora they name nothing, committed or new, also where it is said again."""
    source = tmp_path / "source"
    for name in (
        "corrections/own.tsv",
        "exclusions/own.tsv",
        "groups/own.tsv",
        "exclusions/.gitkeep",
        "params.yaml",
    ):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("id\tgroup\n")
    monkeypatch.chdir(source)
    for command in (
        "git init --quiet", "git config user.email test@example.org", "git config user.name Test",
        "git add .", "git commit --quiet --message lists",
    ):  # fmt: skip
        subprocess.run(command.split(), check=True)
    Path("groups/new.tsv").write_text("id\tgroup\n")
    for _ in range(2):
        place = tmp_path / "rehearsal"
        rehearsal.copy(place)
        found = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
        assert {f for f in found if not f.startswith(".git/")} == {
            "exclusions/.gitkeep", "params.yaml",
        }  # fmt: skip
