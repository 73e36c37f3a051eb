"""What README.md and the pages say can be done as they say."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.cli import parse_args
from dvc.exceptions import InvalidArgumentError
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from ruamel.yaml import YAML

from galgame_asr.cli import make_parser
from galgame_asr.core.params import parse, read_yaml
from galgame_asr.experiment.params import Params
from galgame_asr.messages.errors import ConfigError
from galgame_asr.report import readme
from tests.conftest import REPOSITORY
from tests.readme import Command, commands, merge, pages, values

PAGES = pages(REPOSITORY)
ARCHITECTURE = "ARCHITECTURE.md"
TEXTS = PAGES | {ARCHITECTURE: (REPOSITORY / ARCHITECTURE).read_text()}
COMMANDS = [command for page, text in TEXTS.items() for command in commands(page, text)]
INLINE = [
    (page, code)
    for page, text in TEXTS.items()
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
]
PATH = re.compile(r"[\w.][\w./-]*/[\w./-]*|[\w-]+\.(?:py|md|yaml|lock|toml|json|parquet|tsv)")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
LINES = 250  # of the README: what a person reads to the end
ROWS = 8
# Not in git: what stages and tools write, and files inside a model directory or a corpus.
WRITTEN = (
    "data/", "models/", "metrics/", "logs/", "sources/", ".scratch/", ".remote/", ".venv/", ".dvc/",
)  # fmt: skip
ELSEWHERE = {
    "export/NAME", "log.tsv", "dev.tsv", "config.yaml", "configuration.json", "left_out.parquet",
    "num_samples_of_tar.json", "common/", "params.py", "preprocessor_config.json",
    "base/tiny_NAME.py", "galgame_asr.json", "exclusions/CORPUS.tsv", "groups/CORPUS.tsv",
    "corrections/CORPUS.tsv", "corrections/vn.tsv", "dev_sample.parquet",
    "exclusions/PHASE/CORPUS.tsv", "exclusions/full/vn.tsv", "exclusions/vn.tsv",
    "aishell.py", "finetune.py", "merge_lora.py", "evaluation.py", "infer.py",  # Whisper-Finetune's
}  # fmt: skip
PARAMS = read_yaml(REPOSITORY / "params.yaml")
SETTINGS = [
    PARAMS,
    *map(read_yaml, (REPOSITORY / "profiles").glob("*.yaml")),
    *(YAML(typ="safe").load(block) for text in PAGES.values() for block in values(text)),
]
KEY = re.compile(rf"(?:{'|'.join(PARAMS)})\.[a-z_.]+")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages and metrics of HEAD: a run on another machine, or of other params, changes them."""
    folder = tmp_path_factory.mktemp("head")
    archive = ["git", "archive", "HEAD", "README.md", "docs", "metrics", "params.yaml"]
    files = subprocess.run(archive, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "--extract"], cwd=folder, input=files, check=True)
    return folder


def _of(program: str) -> Iterator[tuple[Command, list[str]]]:
    for command in COMMANDS:
        for part in command.text.split(" && "):
            words = shlex.split(part)
            if words[0].removeprefix(".venv/bin/") == program:
                yield command, words[1:]


def test_the_readme_is_short() -> None:
    """At most 250 lines, and its table of the result at most eight rows."""
    text = PAGES["README.md"]
    assert text.count("\n") <= LINES
    result = text.partition("<!-- results")[2].partition("<!-- end")[0]
    assert 0 < len(re.findall(r"^\| (?!-)", result, re.MULTILINE)) - 1 <= ROWS


def test_the_readme_quotes_the_report(head: Path) -> None:
    """What it shows as the report's beginning is that of the committed one."""
    shown = re.search(
        r"which begins:\n\n```\n(.*?)```", (head / "README.md").read_text(), re.DOTALL
    )
    assert shown
    assert (head / "metrics/report.md").read_text().startswith(shown[1])


def test_every_page_is_listed() -> None:
    """At the end of the README, so that a reader finds it and the walk runs it."""
    assert {f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md")} <= PAGES.keys()


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page: str) -> None:
    """To a file, and where one is named to a section of it."""
    for path, section in LINK.findall(TEXTS[page]):
        target = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        assert target.exists(), path
        if section:
            titles = re.findall(r"^##+ (.+)$", target.read_text(), re.MULTILINE)
            names = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert section in names, f"{path}#{section}"


def test_make_targets_exist() -> None:
    """Every `make X` is a documented target."""
    targets = re.findall(r"^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    named = {word for _, words in _of("make") for word in words if re.fullmatch("[a-z-]+", word)}
    assert {"repro", "test"} <= named <= set(targets)


def test_dvc_takes_the_commands() -> None:
    """DVC's own parser takes every `dvc` command with its options."""
    named = list(_of("dvc"))
    assert len(named) > 20
    for _, words in named:
        assert parse_args(words).func


def test_galgame_asr_takes_the_commands() -> None:
    """So does ours, and every command it has is named."""
    named = list(_of("galgame-asr"))
    for _, words in named:
        assert make_parser().parse_args(words).run
    folder = REPOSITORY / "src/galgame_asr/commands"
    added = r'add_parser\(\s*"([\w-]+)"'
    has = {name for path in folder.glob("*.py") for name in re.findall(added, path.read_text())}
    assert len(has) >= 10
    told = [*named, *_of("make")]  # `make fsck`, `make readme`
    assert has <= {word for _, words in told for word in words} | {code for _, code in INLINE}


def test_stages_exist() -> None:
    """What `dvc repro` and `dvc commit` name is a stage, or an instance of one."""
    stages = read_yaml(REPOSITORY / "dvc.yaml")["stages"]
    named = [
        (command, words[-1])
        for command, words in _of("dvc")
        if words[0] in {"repro", "commit"} and not words[-1].startswith("-") and len(words) > 1
    ]
    assert named
    for command, name in named:
        assert name.partition("@")[0] in stages, command.place


@pytest.mark.parametrize("page", TEXTS)
def test_paths_exist(page: str) -> None:
    """Every path is in the repository, or written by a stage where git ignores it."""
    roots = (REPOSITORY, REPOSITORY / "src/galgame_asr")
    missing = [
        path
        for here, path in INLINE
        if here == page and PATH.fullmatch(path) and not path.startswith(WRITTEN)
        and not any((root / path).exists() for root in roots)
        and not re.search("KIND|NAME", path)
        and not path.startswith(tuple(PARAMS["decode"]["checkpoints"]))
        and path not in ELSEWHERE
    ]  # fmt: skip
    assert missing == []


def _has(settings: Any, names: list[str]) -> bool:
    return not names or (names[0] in (settings or {}) and _has(settings[names[0]], names[1:]))


def test_params_exist() -> None:
    """Every key is one of params.yaml, a profile or an example, or is added with a `+`."""
    keys = [key for command in COMMANDS for key in re.findall(r"-S '?([\w.]+)=", command.text)]
    keys += [code for _, code in INLINE if KEY.fullmatch(code) and not code.startswith("model.pt")]
    assert len(keys) > 15
    for key in set(keys):
        assert any(_has(settings, key.split(".")) for settings in SETTINGS), key


def test_dvc_understands_the_values(tmp_path: Path) -> None:
    """Hydra's grammar reads every `-S`, and params.yaml is valid with it, some after an example."""
    told = [
        (command.page, options.set_param)
        for command, words in _of("dvc")
        if getattr(options := parse_args(words), "set_param", None)
    ]
    told += [(page, [code[1:-1]]) for page, code in INLINE if re.fullmatch(r"'[+~][^']+'", code)]
    assert len(told) >= 7
    for page, changes in told:
        examples = [YAML(typ="safe").load(block) for block in values(PAGES[page])]
        for changed in get_hydra_sweeps({"params.yaml": changes}):
            tried = [
                _changed(changed["params.yaml"], example, tmp_path) for example in [{}, *examples]
            ]
            assert None in tried, f"{page}: {changes}: {tried}"


def _changed(changes: list[str], example: Any, folder: Path) -> str | None:
    """What is wrong with params.yaml after an example and `-S`; None if nothing is."""
    file = folder / "params.yaml"
    params = read_yaml(REPOSITORY / "params.yaml")
    merge(params, example)
    YAML().dump(params, file)
    try:
        apply_overrides(file, changes)
        parse(Params, read_yaml(file), "")
    except (ConfigError, InvalidArgumentError) as error:
        return str(error)
    return None


def test_examples_of_params_are_valid() -> None:
    """Each YAML, laid over params.yaml, is what the stages accept."""
    examples = [(page, block) for page, text in PAGES.items() for block in values(text)]
    assert len(examples) >= 8
    for page, block in examples:
        params = read_yaml(REPOSITORY / "params.yaml")
        merge(params, YAML(typ="safe").load(block))
        try:
            parse(Params, params, "")
        except ConfigError as error:
            pytest.fail(f"{page}: {block}: {error}")


def test_what_is_shown_of_the_run_is_the_committed_one(head: Path) -> None:
    """Tables and pictures, byte for byte."""
    for path, text in readme.written(head).items():
        assert (head / path).read_text(encoding="utf-8") == text, f"{path}: make readme"


def test_tables_come_with_the_machine_that_made_them(head: Path, tmp_path: Path) -> None:
    """`make readme` keeps its record beside the report; without one, the old one stays."""
    root, record = tmp_path / "root", tmp_path / "machine.json"
    shutil.copytree(head, root)
    kept = root / "metrics/machine.json"
    before = kept.read_text()
    readme.update(root, record)
    assert kept.read_text() == before
    record.write_text("{}")
    readme.update(root, record)
    assert kept.read_text() == "{}"


def test_a_page_without_the_markers_is_left_as_it_was(head: Path, tmp_path: Path) -> None:
    """An error, and no table in a wrong place, nor in another page."""
    root = tmp_path / "root"
    shutil.copytree(head, root)
    (root / "docs/exports.md").write_text("# mine\n")
    (root / "README.md").write_text(before := (root / "README.md").read_text().replace("%", ""))
    with pytest.raises(ConfigError, match="needs the lines"):
        readme.update(root, tmp_path / "machine.json")
    assert (root / "docs/exports.md").read_text() == "# mine\n"
    assert (root / "README.md").read_text() == before


def test_every_value_to_set_is_in_hydras_grammar() -> None:
    """As `dvc exp run -S` reads it: what the pages tell to type is taken."""
    parser = OverridesParser.create()
    told = [
        word
        for text in pages(REPOSITORY).values()
        for line in text.replace("\\\n", " ").splitlines()
        for found in re.findall(r"-S ('[^']+'|[^\s'`]+)", line)
        for word in shlex.split(found)
    ]
    assert len(told) >= 8
    for word in told:
        parser.parse_override(word)
    assert any("中文" in word for word in told)
    with pytest.raises(HydraException):
        parser.parse_override("+prompts.x={language: 日文}")  # without the inner quotes
