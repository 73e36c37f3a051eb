"""dvc.yaml, the stages' code, params.yaml and the ignore files agree."""

import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from galgame_asr.core.params import load, read_yaml
from galgame_asr.core.paths import MACHINE
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams
from tests.conftest import REPOSITORY
from tests.stage_code import SOURCE, closure

STAGES = YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["stages"]
PARAMS = read_yaml(REPOSITORY / "params.yaml")
# Modules that a stage imports by a name from params: in dvc.yaml the name is interpolated.
KINDS = [path.stem for path in (SOURCE / "galgame_asr/corpora").glob("[a-z]*.py")]
FAMILIES = ["fun_asr_nano", "whisper"]
FORMATS = [path.stem for path in (SOURCE / "galgame_asr/exporting").glob("[a-z]*.py")]
# What checkpoints and exports are decoded with.
EXPORTS = ("sherpa", "gguf", "capswriter", "automodel")
RECOGNISERS = [*FAMILIES, "whisper_ct2", *(f"fun_asr_nano_{name}" for name in EXPORTS)]
VALUES = {"${item.kind}": KINDS, "${model.family}": FAMILIES, "${item.format}": FORMATS}
DECODING = [
    "decoding.silero", "decoding.fsmn", *(f"families.{family}" for family in RECOGNISERS),
]  # fmt: skip
PLUGINS = {
    "fetch": [f"corpora.{kind}" for kind in KINDS],
    "base": [
        "training.worker",
        *(f"families.{family}{tiny}" for family in FAMILIES for tiny in ("", "_tiny")),
    ],
    "train": ["training.worker", *(f"families.{family}" for family in FAMILIES)],
    "average": [f"families.{family}" for family in FAMILIES],
    "export": [f"exporting.{format_}" for format_ in FORMATS],
    "decode": DECODING,
    "verify": [*DECODING, *(f"exporting.{format_}" for format_ in FORMATS)],
}


def body(stage: str) -> dict[str, Any]:
    found: dict[str, Any] = STAGES[stage].get("do", STAGES[stage])
    return found


def test_every_stage_has_a_file_of_its_name() -> None:
    """One file per stage, and no file without a stage."""
    files = {path.stem for path in (SOURCE / "galgame_asr/stages").glob("[a-z]*.py")}
    assert files == set(STAGES)
    for name in STAGES:
        assert f"python -m galgame_asr.stages.{name}" in body(name)["cmd"]
        assert body(name)["desc"]


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_import_closure(stage: str) -> None:
    """An edited import reruns the stages that use it, and no other.

    What only one plug-in needs stands in the deps of all instances of a stage:
    DVC cannot list other files for each.
    """
    modules = [f"stages.{stage}", *PLUGINS.get(stage, [])]
    needed = frozenset().union(*(closure(f"galgame_asr.{module}") for module in modules))
    declared = [dep for dep in body(stage)["deps"] if dep.startswith("src/")]
    for variable, values in VALUES.items():
        declared = [dep.replace(variable, value) for dep in declared for value in values]
    assert set(declared) == {str(file.relative_to(REPOSITORY)) for file in needed}


@pytest.mark.parametrize(
    ("stage", "arguments"),
    [
        ("base", []), ("train", ["full"]), ("average", ["averaged"]), ("export", ["sherpa"]),
        ("verify", ["sherpa"]), ("decode", ["full/p100", "none", "none.jsonl"]),
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
    """The stages above are all whose code imports torch."""
    with_torch = {
        stage
        for stage in STAGES
        for module in [f"stages.{stage}", *PLUGINS.get(stage, [])]
        if any(
            re.search(r"^(import|from) torch\b", file.read_text(), re.MULTILINE)
            for file in closure(f"galgame_asr.{module}")
            if file.suffix == ".py"
        )
    }
    assert with_torch == {"base", "train", "average", "export", "verify", "decode"}


def test_every_params_section_has_a_module() -> None:
    """A reader finds the description of a section by its name."""
    modules = {path.stem for path in (SOURCE / "galgame_asr/params").glob("[a-z]*.py")}
    assert modules - {"whole"} == set(PARAMS)


def test_every_param_is_a_dependency_of_a_stage() -> None:
    """Changing any value reruns something: a key outside all stages would do nothing."""
    tracked = set()
    for stage in STAGES:
        text = str(STAGES[stage])
        tracked |= set(body(stage).get("params", []))
        tracked |= set(
            re.findall(r"\$\{((?:average|corpora|export|train|decode|prompts)[\w.]*)\}", text)
        )
    covered = {re.sub(r"\.\$\{.*", "", key) for key in tracked}
    missing = [
        key
        for key in _leaves(PARAMS)
        if not any(key == c or key.startswith(f"{c}.") for c in covered)
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
