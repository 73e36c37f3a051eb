"""dvc.yaml, the stages' code, params.yaml and the ignore files agree; rooms are where they say."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from galgame_asr.base.existing import PUBLISHED
from galgame_asr.core.params import load, read_yaml
from galgame_asr.core.paths import MACHINE, OUTPUTS
from galgame_asr.experiment.params import Params
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams
from tests.conftest import REPOSITORY
from tests.stage_code import SOURCE, closure

STAGES = YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["stages"]
PARAMS = read_yaml(REPOSITORY / "params.yaml")
ROOMS = SOURCE / "galgame_asr"


def file_of(stage: str) -> str:
    """The file that a stage runs: mix_base is the mix of the model that is pretrained."""
    return stage.removesuffix("_base")


def rooms(parent: str) -> list[str]:
    """The plug-ins of a room, by their folders."""
    return sorted(
        path.name for path in (ROOMS / parent).iterdir()
        if (path / "__init__.py").is_file() and path.name != "common"
    )  # fmt: skip


KINDS, FAMILIES, FORMATS = rooms("corpora"), rooms("families"), rooms("formats")
BASELINES = rooms("baselines")
# What is imported by a name from params or from a model directory.
RUNTIMES = [
    f"runtimes.{path.stem}" for path in sorted((ROOMS / "runtimes").glob("[a-z]*.py"))
    if "WINDOW_S" in path.read_text() and path.stem != "load"
]  # fmt: skip
RECOGNISERS = [*RUNTIMES, *(f"families.{family}.family" for family in FAMILIES)]
DETECTORS = ["decoding.silero", "decoding.fsmn"]
# Per stage, what its instances interpolate, and the modules that each imports by name.
PLUGINS: dict[str, dict[str, list[str]]] = {
    "fetch": {kind: [f"corpora.{kind}.fetch", f"corpora.{kind}.params"] for kind in KINDS},
    "base": {
        family: [
            f"families.{family}.family",
            *(f"base.{name}" for name in PUBLISHED.values() if name.startswith(family)),
        ]
        for family in FAMILIES
    },
    "build": {
        family: ["training.worker", f"families.{family}.family", f"base.tiny_{family}"]
        for family in FAMILIES
    },
    "train": {family: ["training.worker", f"families.{family}.family"] for family in FAMILIES},
    "average": {family: [f"families.{family}.family"] for family in FAMILIES},
    "export": {
        name: [f"formats.{name}.export", f"formats.{name}.params", *RECOGNISERS] for name in FORMATS
    },
    "verify": {
        name: [f"formats.{name}.export", f"formats.{name}.params", *RECOGNISERS, *DETECTORS]
        for name in FORMATS
    },
    "decode": {"": [*RECOGNISERS, *DETECTORS]},
    "hear": {"": [*RECOGNISERS, *DETECTORS]},
    "audit": {"": [*RECOGNISERS, *DETECTORS]},
    "baseline": {
        kind: [
            f"baselines.{kind}.params",
            f"baselines.{kind}.transcribe",
            *([] if kind == "transcripts" else [*RECOGNISERS, *DETECTORS]),
        ]
        for kind in BASELINES
    },
}
VARIABLE = re.compile(r"\$\{(?:item\.kind|item\.format|model\.family)\}")
EXEMPT = "messages"  # what only people see; nothing there may reach a file that a stage writes
DECODING = {"verify", "decode", "baseline", "hear", "audit"}
MODELS = {"base", "build", "train", "average", "export"} | DECODING
# An edit in a room, or of a file, reruns these stages. With the default's params: base, train
# and average depend on the family that is trained.
EDITS: dict[str, set[str]] = {
    "core": set(STAGES),
    "downloads": {"fetch", "base", "baseline"},
    "shards": {"fetch", "manifest"},
    "corpora": set(),
    "corpora/common": {"fetch"},
    **{f"corpora/{kind}": {"fetch"} if kind == "synthetic" else set() for kind in KINDS},
    "manifests": {"manifest", "split", "audit"},
    "manifests/corrections.py": {"corrections", "manifest", "split", "audit"},
    "manifests/hashing.py": {"manifest", "split", "mix", "mix_base", "report", "hear", "audit"},
    "splitting": {"split"},
    "splitting/mix.py": {"split", "mix", "mix_base"},
    "splitting/exclusions.py": {"split", "mix", "mix_base"},
    "splitting/lists.py": {"split", "mix", "mix_base", "score"},
    "families": {"export"} | DECODING,
    "families/common": MODELS,
    "families/common/transcript.py": MODELS | {"score"},
    "families/fun_asr_nano": MODELS,
    "families/whisper": {"export"} | DECODING,
    "training": {"build", "train"},
    "training/resume.py": {"build", "train", "hear"},
    "base": {"base", "build"},
    "averaging": {"average"},
    "runtimes": {"export"} | DECODING,
    "decoding": DECODING,
    "decoding/transcripts.py": DECODING | {"score"},
    "decoding/speed.py": DECODING | {"report"},
    "baselines": set(),
    "baselines/common": {"baseline"},
    **{f"baselines/{kind}": set() for kind in BASELINES},
    "formats": set(),
    "formats/common": {"export", "verify"},
    "formats/common/verified.py": {"export", "verify", "report"},
    **{
        f"formats/{name}": {"export", "verify"}
        if name in {export["format"] for export in PARAMS["export"].values()}
        else set()
        for name in FORMATS
    },
    "text": {"score", "verify", "audit"},
    "text/lines.py": {"fetch", "corrections", "manifest", "split", "mix", "mix_base"}
    | {"score", "verify", "baseline", "audit"},
    "text/letters.py": {"manifest", "split", "score", "verify", "audit"},
    "scoring": {"score", "report"},
    "scoring/words.py": {"score", "report", "audit"},
    "scoring/groups.py": {"split", "score", "report"},
    "auditing": {"audit"},
    "auditing/hearing.py": {"hear", "audit"},  # not for another threshold
    "report": {"report"},
    "experiment": set(),
    "experiment/curriculum.py": {"report"},
    **{
        key: set()
        for key in [
            "recordings",
            "planning",
            "publishing",
            "labelling",
            "commands",
            "cli.py",
            EXEMPT,
        ]
    },
    **{
        f"stages/{file_of(stage)}.py": {s for s in STAGES if file_of(s) == file_of(stage)}
        for stage in STAGES
    },
}


def code(stage: str) -> list[str]:
    """The code that a stage declares, as dvc.yaml writes it."""
    return [dep for dep in body(stage)["deps"] if dep.startswith("src/")]


def declared(stage: str, value: str) -> list[str]:
    """The code that an instance of a stage depends on."""
    return [VARIABLE.sub(value, dep) for dep in code(stage)]


def needed(stage: str, value: str) -> set[str]:
    """The files that run in an instance of a stage."""
    modules = [f"stages.{file_of(stage)}", *PLUGINS.get(stage, {}).get(value, [])]
    files = frozenset().union(*(closure(f"galgame_asr.{module}") for module in modules))
    return {str(f.relative_to(REPOSITORY)) for f in files if not f.is_relative_to(ROOMS / EXEMPT)}


def within(file: str, dep: str) -> bool:
    return f"{file}/".startswith(f"{dep}/")


INSTANCES = [(stage, value) for stage in STAGES for value in PLUGINS.get(stage, {"": []})]


def body(stage: str) -> dict[str, Any]:
    found: dict[str, Any] = STAGES[stage].get("do", STAGES[stage])
    return found


def test_every_stage_has_a_file_of_its_name() -> None:
    """One file per stage, and no file without a stage."""
    files = {path.stem for path in (SOURCE / "galgame_asr/stages").glob("[a-z]*.py")}
    assert files == {file_of(name) for name in STAGES}
    for name in STAGES:
        assert f"python -m galgame_asr.stages.{file_of(name)} " in f"{body(name)['cmd']} "
        assert body(name)["desc"]


@pytest.mark.parametrize(("stage", "value"), INSTANCES)
def test_what_runs_is_declared(stage: str, value: str) -> None:
    """Every file that a stage imports lies in a folder that it depends on."""
    deps = declared(stage, value)
    assert [file for file in needed(stage, value) if not any(within(file, d) for d in deps)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_declared_runs(stage: str) -> None:
    """Every dependency holds a file that some instance imports, and they are few."""
    values = [value for name, value in INSTANCES if name == stage]
    for dep in code(stage):
        assert any(
            within(file, VARIABLE.sub(value, dep))
            for value in values
            for file in needed(stage, value)
        ), dep
    assert len(code(stage)) <= 9


@pytest.mark.parametrize("edited", EDITS)
def test_an_edit_reruns_what_it_can_change(edited: str) -> None:
    """By dvc.yaml and the default's params: no room reruns more stages than the table says."""
    file = f"src/galgame_asr/{edited}" + ("" if edited.endswith(".py") else "/anything.py")
    values = {
        # No entry of another map is of this kind: which map, the folder before it says.
        "corpora/${item.kind}": {entry["kind"] for entry in PARAMS["corpora"].values()},
        "baselines/${item.kind}": {entry["kind"] for entry in PARAMS["baselines"].values()},
        "${item.format}": {entry["format"] for entry in PARAMS["export"].values()},
        "${model.family}": {PARAMS["model"]["family"]},
    }
    rerun = set()
    for stage in STAGES:
        for dep in code(stage):
            names = next((values[v] for v in values if v in dep), {""})
            if any(within(file, VARIABLE.sub(name, dep)) for name in names):
                rerun.add(stage)
    assert rerun == EDITS[edited]


def test_the_table_of_edits_is_complete() -> None:
    """Every room of the package, and every plug-in, stands in it."""
    found = {path.name for path in ROOMS.iterdir() if (path / "__init__.py").is_file()}
    found |= {
        f"{room}/{name}"
        for room in ("baselines", "corpora", "families", "formats")
        for name in rooms(room)
    }
    assert found - {"stages"} <= set(EDITS)
    for edited in EDITS:
        assert (ROOMS / edited).exists(), edited


def test_core_is_what_training_stands_on() -> None:
    """An edit there reruns everything, so that it holds nothing that train does not use."""
    used = set().union(*(needed("train", family) for family in FAMILIES))
    files = {str(p.relative_to(REPOSITORY)) for p in (ROOMS / "core").glob("[a-z]*.py")}
    assert files <= used


def test_packages_hold_a_docstring_alone() -> None:
    """Code there would run for whoever imports a neighbour."""
    for init in ROOMS.rglob("__init__.py"):
        (statement,) = ast.parse(init.read_text()).body
        assert isinstance(statement, ast.Expr), init
        assert isinstance(statement.value, ast.Constant), init


def test_the_command_starts_without_what_is_slow() -> None:
    """Torch and the like are imported by the commands that need them."""
    slow = ("torch", "transformers", "pandas", "dvc")
    program = f"import sys, galgame_asr.cli; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY / "src", capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("stage", "arguments"),
    [
        ("base", ["hub"]), ("build", ["tiny"]), ("train", ["full"]), ("average", ["averaged"]),
        ("export", ["sherpa"]), ("verify", ["sherpa"]),
        ("decode", ["full/p100", "none", "none.jsonl"]), ("baseline", ["mine"]),
        ("hear", ["vn", "full/p100"]), ("audit", ["vn"]),
    ],
)  # fmt: skip
def test_a_stage_with_a_model_sets_up_first(
    stage: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What computes before it would fix the CPU's instructions; here it has nothing to load."""

    class SetUpError(Exception):
        """`set_up` was called."""

    def set_up(params: Any, record: Path) -> None:
        assert (params, record) == (load(ComputeParams, "compute"), MACHINE)
        raise SetUpError

    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compute, "set_up", set_up)
    with pytest.raises(SetUpError):
        importlib.import_module(f"galgame_asr.stages.{stage}").main(arguments)


def test_no_other_stage_has_a_model() -> None:
    """The stages above are all whose code imports torch.

    But for the detector of kind `recordings`, which says in steps of 32 ms what is speech: its
    threshold is not where bits differ, and its torch is set to one thread by silero-vad.
    """
    with_torch = {
        stage
        for stage, value in INSTANCES
        for file in needed(stage, value)
        if file.endswith(".py")
        and file != "src/galgame_asr/corpora/recordings/speech.py"
        and re.search(r"^(import|from) torch\b", (REPOSITORY / file).read_text(), re.MULTILINE)
    }
    assert with_torch == MODELS


def test_every_section_is_described_where_it_is_read() -> None:
    """The type of each section of params.yaml lies in a room that a stage with the section has."""
    fields = typing.get_type_hints(Params)
    assert set(fields) == set(PARAMS)
    for section, kind in fields.items():
        module = getattr(kind, "__module__", "")
        if module.startswith("galgame_asr.") and section not in ("train", "machine"):
            room = module.removeprefix("galgame_asr.").partition(".")[0]
            readers = [s for s in STAGES if section in str(body(s).get("params"))]
            assert any(f"/{room}" in dep for s in readers for dep in code(s)), section


@pytest.mark.parametrize("stage", STAGES)
def test_names_reach_the_shell_in_quotes(stage: str) -> None:
    """A word that DVC puts into a command is one word, so that the code can refuse the name."""
    command = body(stage)["cmd"]
    assert "${" not in re.sub(r"(?<= )'[^']*'(?= |$)", "", command)
    assert "\n" not in command  # DVC runs each line in a shell of its own


def test_the_folders_of_outputs_are_known() -> None:
    """Those that no link may stand for."""
    known = {str(path) for folder in OUTPUTS for path in (folder, *folder.parents)}
    for stage in STAGES:
        for out in [*body(stage)["outs"], *body(stage).get("plots", [])]:
            path = Path(out if isinstance(out, str) else next(iter(out)))
            folder = path.parent.parent if "${" in path.parent.name else path.parent
            assert str(folder) in known, out


def test_every_param_is_a_dependency_of_a_stage() -> None:
    """Changing any value reruns something: a key outside all stages would do nothing."""
    tracked = set()
    for stage in STAGES:
        text = str(STAGES[stage])
        tracked |= set(body(stage).get("params", []))
        tracked |= set(
            re.findall(
                r"\$\{((?:audit|average|base|corpora|export|train|decode|prompts)[\w.]*)\}", text
            )
        )
    covered = {re.sub(r"\.\$\{.*", "", key) for key in tracked}
    missing = [
        key
        for key in _leaves(PARAMS)
        if not key.startswith("machine.")  # without influence on any result
        and not any(key == c or key.startswith(f"{c}.") for c in covered)
    ]
    assert missing == []


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}".lstrip("."))
    else:
        yield path


def test_git_ignores_every_cached_output() -> None:
    """Statically: DVC takes its own ignore entries back when a later stage fails."""
    ignored = set((REPOSITORY / ".gitignore").read_text().split())
    for stage in STAGES:
        for out in body(stage)["outs"]:
            if isinstance(out, str):
                assert {f"/{out.split('/')[0]}/", f"/{out}"} & ignored, out
            else:
                ((path, options),) = out.items()
                assert options == {"cache": False}
                assert path.startswith("metrics/")


def test_git_ignores_pages_beside_a_revision() -> None:
    """report-REV.html holds audio, whatever the revision is called."""
    for name in ("report-HEAD~1.html", "report-main.html", "report-録音-v1.2.html"):
        done = subprocess.run(["git", "check-ignore", "--quiet", name], cwd=REPOSITORY, check=False)
        assert done.returncode == 0, name
