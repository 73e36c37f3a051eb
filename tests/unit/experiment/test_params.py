"""params.yaml is typed, complete, and holds nothing that nobody reads."""

import ast
import dataclasses
import shutil
import typing
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from galgame_asr.base.existing import HubBase
from galgame_asr.base.params import BaseParams
from galgame_asr.cli import dispatch
from galgame_asr.core.params import load, parse, read_yaml
from galgame_asr.corpora.params import Corpora
from galgame_asr.experiment import curriculum, params
from galgame_asr.experiment.params import Params
from galgame_asr.messages.errors import ConfigError
from galgame_asr.splitting.params import SplitParams
from galgame_asr.training.params import CommonParams, PhaseParams
from tests.conftest import REPOSITORY

PARAMS = REPOSITORY / "params.yaml"
AUDIT = {
    "sample": 1.0,
    "thresholds": {key: {"value": 1.0} for key in ("disagrees", "label_short", "label_long")},
}
EXPORT: dict[str, Any] = {
    "format": "ctranslate2",
    "checkpoint": "full/p100",
    "precision": "int8",
    "verify": {"utterances": 20, "prompt": "japanese", "min_equal": 0.9, "max_cer_rise": 0.5},
}


@pytest.fixture
def values() -> dict[str, Any]:
    loaded: dict[str, Any] = read_yaml(PARAMS)
    return loaded


def test_the_committed_params_are_valid(values: dict[str, Any]) -> None:
    """The file as committed parses as a whole."""
    params = parse(Params, values, "")
    assert params.train.phases["adaptor"].freeze == {"encoder": True, "adaptor": False, "llm": True}


def test_an_export_is_a_checkpoint_to_decode(values: dict[str, Any]) -> None:
    """Under the name of its folder."""
    values["export"] = {"ct2": EXPORT}
    values["decode"]["checkpoints"] = ["base", "export/ct2"]
    assert parse(Params, values, "").export["ct2"].precision == "int8"


def test_an_unknown_key_names_the_nearest_valid_one(values: dict[str, Any]) -> None:
    """A misspelt key is an error with its place, a guess and the allowed keys."""
    phase = values["train"]["phases"]["adaptor"]
    phase["epoch"] = phase.pop("epochs")
    with pytest.raises(ConfigError) as caught:
        parse(PhaseParams, phase, "train.phases.adaptor")
    first, *rest = str(caught.value).splitlines()
    assert "unknown key train.phases.adaptor.epoch" in first
    assert "Did you mean 'epochs'?" in first
    assert rest == ["params.yaml: key train.phases.adaptor.epochs is missing"]


@pytest.mark.parametrize(
    ("kind", "key", "change", "message"),
    [
        (SplitParams, "split", {"dev": "0.1"}, "split.dev is '0.1'"),
        (SplitParams, "split", {"dev": 0.6, "test": 0.6}, "must stay below 1"),
        (SplitParams, "split", {"test_limit": 0}, "greater than or equal to 1"),
        (CommonParams, "train.common", {"seed": 1.5}, "train.common.seed is 1.5"),
        (PhaseParams, "train.phases.full", {"checkpoints": [50]}, "end with 100"),
        (PhaseParams, "train.phases.full", {"checkpoints": [100, 50]}, "must rise"),
        (PhaseParams, "train.phases.full", {"prompts": [{"langage": "日文"}]}, "'language'?"),
        (Corpora, "corpora", {"vn": {"kind": "synthetc"}}, "'synthetic', 'galgame'"),
        (HubBase, "base.existing", {"repo": "a/b", "revision": "main"}, "base.existing.revision"),
        (
            HubBase,
            "base.existing",
            {"repo": "a/b", "revision": "a" * 40, "source": "modelscop"},
            "base.existing.source is 'modelscop'",
        ),
        (PhaseParams, "train.phases.full", {"lora": {"rnk": 8}}, "train.phases.full.lora.rnk"),
        (PhaseParams, "train.phases.full", {"lora": {"rank": "x"}}, "full.lora.rank is 'x'"),
        (
            BaseParams,
            "base",
            {"built": {"tiny_whisper": {"mels": [1]}}},
            "base.built.tiny_whisper.",
        ),
        (SplitParams, "split", {"salt": "\ud83d"}, "unable to parse"),
        (BaseParams, "base", {"built": {}}, "found none"),
        (BaseParams, "base", {"existing": {"directory": {"path": "a"}}}, "found directory, tiny"),
    ],
)
def test_a_bad_value_is_an_error(
    values: dict[str, Any], kind: Any, key: str, change: dict[str, Any], message: str
) -> None:
    """Each message names the key and what is allowed."""
    value = values
    for name in key.split("."):
        value = value[name]
    with pytest.raises(ConfigError) as caught:
        parse(kind, value | change, key)
    assert message in str(caught.value)


def test_a_check_across_sections_names_the_file(values: dict[str, Any]) -> None:
    """As all other messages do."""
    values["split"]["out_of_domain"] = ["vm"]
    with pytest.raises(ConfigError, match=r"^params\.yaml: split\.out_of_domain names vm"):
        parse(Params, values, "")


@pytest.mark.parametrize("content", [b"# \x93\xfa\n", b"a: [", b"a: " + b"[" * 5000])
def test_what_is_no_yaml_is_named(tmp_path: Path, content: bytes) -> None:
    """CP932, brackets that nobody closes, and depth without end."""
    file = tmp_path / "params.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"params\.yaml is not valid YAML"):
        read_yaml(file)


def test_numbers_are_read_as_yaml_1_2(tmp_path: Path) -> None:
    """`dvc exp run -S lr=3e-5` writes 3e-05, which YAML 1.1 reads as a string."""
    file = tmp_path / "params.yaml"
    file.write_text(PARAMS.read_text().replace("lr: 2.0e-3", "lr: 3e-05"))
    assert load(PhaseParams, "train.phases.adaptor", file=file).lr == 3e-5


def test_a_missing_section_or_file_says_so(tmp_path: Path) -> None:
    """The message says what is there instead, or where to run."""
    with pytest.raises(ConfigError, match="Did you mean 'phases'"):
        load(PhaseParams, "train.phase.adaptor", file=PARAMS)
    with pytest.raises(ConfigError, match="run from the repository root"):
        load(PhaseParams, "train.phases.adaptor", file=tmp_path / "params.yaml")


def test_every_key_is_read_somewhere() -> None:
    """A key that no code reads would be a promise that nothing keeps."""
    read = {
        node.attr
        for file in (REPOSITORY / "src").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    # `asdict(severity)` reads the flags by name, and the kind selects a dataclass.
    flags = ("FlagSeverity", "FlagSeverities")
    by_name = {"kind"}.union(*(typing.get_type_hints(_fields(Params)[name]) for name in flags))
    unread = [
        f"{cls.__name__}.{field.name}"
        for cls in _fields(Params).values()
        for field in dataclasses.fields(cls)
        if cls.__module__ != "galgame_asr.experiment.params" and field.name not in read | by_name
    ]
    assert unread == []


def _fields(kind: Any, found: dict[str, Any] | None = None) -> dict[str, Any]:
    """All dataclasses reachable from a type, by name."""
    found = {} if found is None else found
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        found[kind.__name__] = kind
        for hint in typing.get_type_hints(kind, include_extras=True).values():
            _fields(hint, found)
    for argument in typing.get_args(kind):
        if not isinstance(argument, str):
            _fields(argument, found)
    return found


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("split", "out_of_domain", ["readng"], "split.out_of_domain names readng; corpora: readi"),
        ("manifest", "clean", {"nine": ["tags"]}, r"manifest\.clean names nine; corpora: reading"),
        (
            "manifest",
            "exceptions",
            {"foldr": {"silent": "drop"}},
            r"manifest\.exceptions names foldr; corpora and kinds: aishell, folder",
        ),
        (
            "decode",
            "checkpoints",
            ["full/p99"],
            "decode.checkpoints names full/p99; checkpoints: a",
        ),
        (
            "decode",
            "checkpoints",
            ["export/ct2"],
            "decode.checkpoints names export/ct2; checkpoints: a",
        ),
        ("export", "ct2", EXPORT | {"checkpoint": "full/p1"}, r"export\.ct2 names full/p1; check"),
        (
            "export",
            "ct2",
            EXPORT | {"verify": EXPORT["verify"] | {"prompt": "english"}},
            r"export\.ct2\.verify names english; prompts: japanese, none",
        ),
        (
            "average",
            "export",
            {"phase": "full", "checkpoints": [80, 100]},
            r"average\.export has the name of another folder in models/",
        ),
    ],
)
def test_names_that_nothing_defines(section: str, key: str, value: object, message: str) -> None:
    """A profile with a wrong name is refused at once, not by the stage that meets it last."""
    values = read_yaml(REPOSITORY / "params.yaml")
    values[section][key] = value
    with pytest.raises(ConfigError, match=message):
        parse(Params, values, "")
    values = read_yaml(REPOSITORY / "params.yaml")
    values["train"]["phases"]["full"] |= {"init": "encodr/p100"}
    with pytest.raises(ConfigError, match=r"train\.phases\.full\.init names encodr/p100"):
        parse(Params, values, "")


def test_checkpoints_by_step_can_be_named(values: dict[str, Any]) -> None:
    """Wherever a checkpoint is, as far as `every_steps` of its phase saves them."""
    values["train"]["phases"]["full"]["every_steps"] = 200
    values["decode"]["checkpoints"] += ["full/s200", "full/s1000"]
    values["export"]["sherpa"]["checkpoint"] = "full/s400"
    curriculum.check(values)
    found = curriculum.of_params(values)
    positions = [found.position(f"full/{name}") for name in ("s200", "p50", "s1000", "p100")]
    assert positions == sorted(set(positions))
    assert found.previous("full/s200") == "encoder/p100"
    for name in ("full/s100", "full/s0", "full/s0200", "adaptor/s200", "full/s"):
        values["decode"]["checkpoints"][-1] = name
        with pytest.raises(ConfigError, match=f"decode.checkpoints names {name}; checkpoints: "):
            curriculum.check(values)


@pytest.mark.parametrize(
    "music",
    [
        {"kind": "folder", "path": "/bgm", "shard_size": 10, "not_speech": True},
        {"kind": "synthetic", "recipe": "noise", "utterances": 9, "seed": 1, "shard_size": 10},
        {
            "kind": "hub_dataset", "repo": "bgm", "revision": None, "config": None,
            "splits": {"train": "not_speech"}, "audio_column": "audio", "text_column": "label",
            "shard_size": 10,
        },
    ],
)  # fmt: skip
def test_noise_comes_from_the_mix(values: dict[str, Any], music: dict[str, Any]) -> None:
    """Before any phase is trained, it is said which one has none."""
    values["corpora"]["bgm"] = music
    phase = values["train"]["phases"]["full"]
    phase["augment"] = {"noise": {"snr_db": [5.0, 20.0]}}
    message = r"train\.phases\.full\.augment\.noise takes its clips .* it has none: add one, such"
    with pytest.raises(ConfigError, match=message):
        parse(Params, values, "")
    phase["mix"]["bgm"] = 0.0
    parse(Params, values, "")
    values["base"]["built"]["tiny"]["pretrain"]["augment"] = {"noise": {}}
    with pytest.raises(ConfigError, match=r"base\.built\.tiny\.pretrain\.augment\.noise takes"):
        parse(Params, values, "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoints": ["full/p9"]}, r"audit\.checkpoints names full/p9; checkpoints: a"),
        ({"checkpoints": []}, r"audit\.checkpoints no model"),
        ({"prompt": "english"}, r"audit\.prompt names english; prompts: japanese"),
        ({"corpora": {"nv": AUDIT}}, r"audit\.corpora names nv; corpora: reading, vn"),
    ],
)
def test_names_of_an_audit(values: dict[str, Any], change: dict[str, Any], message: str) -> None:
    """They count where a corpus is audited; else a profile need not have what is named."""
    audit = {"checkpoints": ["full/p50"], "prompt": "none", "corpora": {"vn": AUDIT}}
    values["audit"] |= audit
    parse(Params, values, "")
    values["audit"] |= change
    with pytest.raises(ConfigError, match=message):
        parse(Params, values, "")
    values["audit"]["corpora"] = {}
    parse(Params, values, "")


def test_two_variants_of_one_name(values: dict[str, Any]) -> None:
    """DVC would decode one of them, and its transcripts would stand for both."""
    values["average"]["averaged-x"] = values["average"]["averaged"]
    values["decode"]["checkpoints"] = ["averaged", "averaged-x"]
    values["prompts"] |= {"y": {}, "x-y": {}}
    with pytest.raises(ConfigError, match="two variants the name averaged-x-y"):
        parse(Params, values, "")


@pytest.mark.parametrize("name", ["my corpus", "v1.1", 2024])
@pytest.mark.parametrize(
    "command",
    [
        ["stale"], ["plan"], ["profile", "mine"], ["jsonl", "dev", "out", "--prompt", "none"],
        ["publish", "sherpa", "--repo", "me/model"], ["report", "--compare", "HEAD"],
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_every_command_refuses_names_first(
    command: list[str], name: object, values: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Whatever else they would miss in a folder that holds params.yaml alone."""
    monkeypatch.chdir(tmp_path)
    values["corpora"][name] = values["corpora"]["vn"]
    YAML().dump(values, Path("params.yaml"))
    Path("profiles").mkdir()
    Path("profiles/mine.yaml").write_text("model: {family: fun_asr_nano}\n")
    with pytest.raises(ConfigError, match=rf"corpora has the name {name!r}; allowed are letters"):
        dispatch(command)


def test_a_prompt_is_asked_for_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by a dotted key."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(PARAMS, tmp_path)
    for name in ("japanese.language", "v1.1"):
        with pytest.raises(ConfigError, match=f"no prompt '{name}'.*Allowed: none, japanese"):
            dispatch(["jsonl", "dev", "out", "--prompt", name])


def test_a_page_never_replaces_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`report --output` of a folder says so, and leaves it; so of a name that is too long."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/mine.txt").touch()
    with pytest.raises(ConfigError, match="reports is a folder"):
        dispatch(["report", "--compare", "HEAD", "--output", "reports"])
    assert (tmp_path / "reports/mine.txt").exists()
    with pytest.raises(ConfigError, match="has a name of 312 bytes"):
        dispatch(["report", "--compare", "x" * 300])


def test_packages_are_looked_for_before_the_first_stage(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after days of training, when the export begins."""
    monkeypatch.chdir(tmp_path)
    YAML().dump(values, Path("params.yaml"))
    params.main()
    values["export"] = {"ct2": EXPORT}
    values["decode"]["checkpoints"] = ["base"]
    YAML().dump(values, Path("params.yaml"))
    monkeypatch.setitem(params.EXTRAS, EXPORT["format"], ("no_such_package", "whisper"))
    with pytest.raises(ConfigError, match=r"no_such_package is not installed: pip .*\[whisper\]"):
        params.main()


@pytest.mark.parametrize(
    ("lr", "message"),
    [
        ({"encoder": 1e-3, "adapter": 1e-3, "llm": 1e-3}, "lr names adapter; parts: encoder, ada"),
        ({"encoder": 1e-3, "llm": 1e-3}, "lr has no rate for adaptor, which learns"),
    ],
)
@pytest.mark.parametrize("key", ["train.phases.full", "base.built.tiny.pretrain"])
def test_rates_are_of_parts_before_the_first_stage(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    key: str, lr: dict[str, float], message: str,
) -> None:  # fmt: skip
    """Not when the phase begins, days later; whatever its part, a right one passes."""
    monkeypatch.chdir(tmp_path)
    phase = values
    for name in key.split("."):
        phase = phase[name]
    phase["lr"] = {"encoder": 1e-3, "adaptor": 1e-3, "llm": 1e-3}
    YAML().dump(values, Path("params.yaml"))
    params.main()
    phase["lr"] = lr
    YAML().dump(values, Path("params.yaml"))
    with pytest.raises(ConfigError, match=f"{key}: {message}"):
        params.main()
