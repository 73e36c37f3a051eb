"""What the README says can be done as it says."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from dvc.cli import parse_args
from ruamel.yaml import YAML

from galgame_asr.cli import make_parser
from galgame_asr.core.params import parse, read_yaml
from galgame_asr.experiment.params import Params
from galgame_asr.messages.errors import ConfigError
from galgame_asr.report import readme
from tests.conftest import REPOSITORY, committed
from tests.readme import commands, merge

TEXT = (REPOSITORY / "README.md").read_text()
INLINE = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
COMMANDS = [shlex.split(command.text) for command in commands(TEXT)]
# Not in git: what stages and tools write, and files inside a model directory or a corpus.
WRITTEN = (
    "data/", "models/", "metrics/", "logs/", "sources/", ".scratch/", ".remote/", ".venv/", ".dvc/",
)  # fmt: skip
ELSEWHERE = {
    "export/NAME", "log.tsv", "dev.tsv", "config.yaml", "configuration.json", "model.pt",
    "left_out.parquet", "wav.scp", "num_samples_of_tar.json", "/data/my-checkpoint",
}  # fmt: skip
PARAMS = read_yaml(REPOSITORY / "params.yaml")


def test_make_targets_exist() -> None:
    """Every `make X` is a documented target."""
    targets = re.findall(r"^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    named = {words[1] for words in COMMANDS if words[0] == "make"}
    assert {"repro", "test"} <= named <= set(targets)


def test_dvc_takes_the_commands() -> None:
    """DVC's own parser takes every `dvc` command with its options."""
    named = [words[1:] for words in COMMANDS if words[0] == "dvc"]
    assert len(named) > 8
    for words in named:
        assert parse_args(words).func


def test_galgame_asr_takes_the_commands() -> None:
    """So does ours, and every command it has is named."""
    named = [words[1:] for words in COMMANDS if words[0] == "galgame-asr"]
    assert named
    for words in named:
        assert make_parser().parse_args(words).run


def test_paths_exist() -> None:
    """Every path is in the repository, or written by a stage where git ignores it."""
    paths = [
        text
        for text in INLINE
        if re.fullmatch(r"[\w.][\w./-]*/[\w./-]*|[\w-]+\.\w+", text)
        and text.split(".")[0] not in PARAMS
    ]
    assert "params.yaml" in paths
    folders = REPOSITORY / "src/galgame_asr"
    missing = [
        path
        for path in paths
        if not path.startswith(WRITTEN)
        and not (REPOSITORY / path).exists()
        and not (folders / path).exists()
        and path not in PARAMS["decode"]["checkpoints"]
        and path not in ELSEWHERE
    ]
    assert missing == []


def test_params_exist() -> None:
    """Every key is a key of params.yaml."""
    keys = re.findall(r"-S '?([\w.]+)=", TEXT)
    keys += [
        text
        for text in INLINE
        if re.fullmatch(r"(train|decode|prompts|split|manifest|compute|average)\.[a-z_.]+", text)
    ]
    assert len(keys) > 3
    for key in keys:
        value = PARAMS
        for name in key.split("."):
            assert name in value, key
            value = value[name]


def test_examples_of_params_are_valid() -> None:
    """Each YAML block, laid over params.yaml, is what the stages accept."""
    blocks = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        values = read_yaml(REPOSITORY / "params.yaml")
        merge(values, YAML(typ="safe").load(block))
        parse(Params, values, "")


def test_results_are_those_of_the_report() -> None:
    """Of those committed: a run on another machine, or of other params, changes metrics/."""
    text, report = committed("README.md"), committed("metrics/report.md")
    assert readme.with_results(text, report) == text


def test_tables_come_with_the_machine_that_made_them(tmp_path: Path) -> None:
    """`make readme` keeps its record beside the report; without one, the old one stays."""
    shutil.copy(REPOSITORY / "README.md", tmp_path)
    (tmp_path / "metrics").mkdir()
    report, record = tmp_path / "metrics/report.md", tmp_path / "logs/machine.json"
    report.write_text(committed("metrics/report.md"))
    readme.update(tmp_path / "README.md", report, record)
    assert not (tmp_path / "metrics/machine.json").exists()
    record.parent.mkdir()
    record.write_text("{}")
    readme.update(tmp_path / "README.md", report, record)
    assert (tmp_path / "metrics/machine.json").read_text() == "{}"


def test_a_readme_without_the_markers_is_left_as_it_was(tmp_path: Path) -> None:
    """An error, and no table in a wrong place."""
    (tmp_path / "README.md").write_text("# mine\n")
    with pytest.raises(ConfigError, match="needs the lines"):
        readme.update(
            tmp_path / "README.md", REPOSITORY / "metrics/report.md", tmp_path / "machine.json"
        )
    assert (tmp_path / "README.md").read_text() == "# mine\n"
