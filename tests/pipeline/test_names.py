"""Names that people give reach DVC, the shell and the disk whole, or are refused in one line."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from galgame_asr.core.params import read_yaml
from tests.conftest import REPOSITORY
from tests.pipeline.conftest import Workspace
from tests.pipeline.test_faults import one_message


def test_names_of_any_script_go_all_the_way(workspace: Workspace) -> None:
    """A corpus, a phase, a mean, an export and a prompt, from fetch to the report."""
    export: dict[str, Any] = read_yaml(REPOSITORY / "params.yaml")["export"]["funasr"]

    def add(values: dict[str, Any]) -> None:
        values["corpora"]["台詞"] = values["corpora"]["vn"] | {"utterances": 30, "seed": 3}
        values["prompts"] = {"日本語-2": {"language": "日文"}}
        phase = values["train"]["phases"]["full"]
        values["train"]["phases"]["仕上げ"] = phase | {"init": "full/p100", "mix": {"台詞": 1.0}}
        values["average"]["平均"] = {"phase": "仕上げ", "checkpoints": [50, 100]}
        verify = export["verify"] | {"utterances": 4, "prompt": "日本語-2"}
        values["export"]["書き出し"] = export | {"checkpoint": "仕上げ/p100", "verify": verify}
        values["decode"]["checkpoints"] = ["仕上げ/p100", "平均"]

    workspace.edit(add)
    ran = workspace.repro()
    for stage in (
        "fetch@台詞", "manifest@台詞", "mix@仕上げ", "train@仕上げ", "curves@仕上げ",
        "average@平均", "export@書き出し", "verify@書き出し", "decode@仕上げ/p100-日本語-2",
        "report",
    ):  # fmt: skip
        assert stage in ran
    assert "平均-日本語-2" in read_yaml(workspace.root / "metrics/cer.json")
    assert "仕上げ/p100" in (workspace.root / "metrics/report.md").read_text()
    assert workspace.repro() == []
    assert workspace.run("galgame-asr", "stale").stdout.startswith("Nothing is stale")


@pytest.mark.parametrize("name", ["my corpus", 'q"t', "a;b", "$HOME", "a(b", "#a"])
def test_dvc_comes_to_our_message(workspace: Workspace, name: str) -> None:
    """The shell takes the name as one word."""
    workspace.edit(lambda values: values["corpora"].update({name: values["corpora"]["vn"]}))
    done = workspace.run("dvc", "repro", f"fetch@{name}", check=False)
    assert done.returncode != 0
    message = one_message(done.stdout, "ConfigError")
    assert f"corpora has the name {name!r}; allowed are letters of any script" in message


@pytest.mark.parametrize("name", ["v1.1", "it's", "a\nb", "*"])
def test_make_looks_before_dvc(workspace: Workspace, name: str) -> None:
    """At names that DVC or a shell would stumble over first; and nothing is run."""
    for file in ("pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / file, workspace.root)
    (workspace.root / ".dvc/tmp").mkdir(exist_ok=True)
    (workspace.root / ".dvc/tmp/links").touch()
    workspace.edit(lambda values: values["corpora"].update({name: values["corpora"]["vn"]}))
    make = ("make", "--old-file=.venv/run", "--old-file=.dvc/tmp/links", "repro")
    done = workspace.run(*make, check=False)
    assert done.returncode != 0
    assert f"corpora has the name {name!r}" in one_message(done.stdout, "ConfigError")
    assert "dvc repro" not in done.stdout


def test_outputs_behind_a_link(workspace: Workspace, tmp_path: Path) -> None:
    """Refused before the stage's work, in one line that says what to do."""
    raw = workspace.root / "data/raw"
    shutil.move(raw, tmp_path / "raw")
    raw.symlink_to(tmp_path / "raw")
    try:
        done = workspace.run("dvc", "repro", "--force", "--single-item", "fetch@vn", check=False)
    finally:
        raw.unlink()
    assert done.returncode != 0
    assert "data/raw is a link" in one_message(done.stdout, "ConfigError")
    assert "write vn" not in done.stdout
