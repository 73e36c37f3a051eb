"""A model that comes from elsewhere is read, and nothing it brings is fetched or run."""

import ast
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from ruamel.yaml import YAML

from galgame_asr.base.fun_asr_nano_files import write_json
from galgame_asr.base.tiny_fun_asr_nano import LLM_DIRECTORY
from galgame_asr.families.common import foreign
from galgame_asr.families.common.family import Search
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.network import Model
from galgame_asr.families.fun_asr_nano.weights import read_config
from galgame_asr.messages.errors import CheckpointError
from galgame_asr.runtimes import funasr as auto_model
from galgame_asr.runtimes import funasr_models
from galgame_asr.training import saving
from galgame_asr.training.saving import Saving
from tests.models import JAPANESE, build, noise

# What reads a model's files itself, and what has AutoModel read them.
LOADS: tuple[Callable[[Path], object], ...] = (
    fun_asr_nano.load, auto_model.load, funasr_models.model_class,
)  # fmt: skip
ROOT = Path(__file__).parents[4]
SOURCES = sorted(
    path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)


class Run:
    """What a pickle that is no data looks like: loading it makes a file."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.write_text, (self.made, "run")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The file that exists once something was run."""
    return tmp_path / "made"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return build(tmp_path / "m")


def edit(directory: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a config.yaml."""
    config = YAML(typ="safe").load(directory / "config.yaml")
    change(config)
    YAML().dump(config, directory / "config.yaml")


def edit_llm(directory: Path, file: str, values: dict[str, Any]) -> None:
    """Add to a file of the language model."""
    path = directory / LLM_DIRECTORY / file
    write_json(path, json.loads(path.read_bytes()) | values)


def by_auto_model(directory: Path) -> None:
    """Have AutoModel load a directory, which it does when something is first transcribed."""
    loaded = auto_model.load(directory)
    loaded.transcribe([loaded.features(noise(0.5))], JAPANESE, Search([4]))


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (fun_asr_nano.load, r"model\.pt cannot be read as a checkpoint"),
        (by_auto_model, "cannot be loaded by funasr: Weights only load failed"),
    ],
)
def test_weights_that_run_something_are_refused(
    directory: Path,
    made: Path,
    monkeypatch: pytest.MonkeyPatch,
    load: Callable[[Path], object],
    message: str,
) -> None:
    """Also where the environment tells torch to trust every file whose load does not say."""
    load(directory)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"state_dict": Run(made)}, directory / "model.pt")
    trusting = torch.load
    with pytest.warns(UserWarning, match="forcing weights_only=False"):
        trusting(directory / "model.pt")  # the file is what it is said to be
    assert made.exists()
    made.unlink()
    with pytest.raises(CheckpointError, match=message):
        load(directory)
    assert not made.exists()


@pytest.mark.parametrize("name", [saving.LEARNED, saving.OPTIMIZER])
def test_a_state_that_runs_something_is_refused(
    directory: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A phase goes on from data alone, whoever wrote the state."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    family = fun_asr_nano.load(directory)
    family.model.requires_grad_(False)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    accelerator = Accelerator(cpu=True)
    prepared = (family.model, optimizer, torch.amp.GradScaler("cpu", enabled=False))
    phase = Saving(family, tmp_path / "phase", (JAPANESE,), accelerator, prepared, sharded=False)
    state = tmp_path / "state"
    state.mkdir()
    torch.save({}, state / saving.LEARNED)
    torch.save({"optimizer": optimizer.state_dict(), "scaler": {}}, state / saving.OPTIMIZER)
    torch.save({"a": Run(made)}, state / name)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        phase.resume(state, torch.device("cpu"))
    assert not made.exists()


def test_every_load_of_weights_says_that_it_is_of_weights_only() -> None:
    """The default of torch can be switched off by a variable; a call that says it cannot."""
    silent = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "torch.load(" in text else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                said = [ast.unparse(k.value) for k in node.keywords if k.arg == "weights_only"]
                if said != ["True"]:
                    silent.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert silent == []


def foreign_llm(directory: Path, made: Path) -> None:
    """A language model with Python of its own, which its config asks to be run."""
    (directory / LLM_DIRECTORY / "code.py").write_text(
        f"from pathlib import Path\nPath({str(made)!r}).write_text('run')\n"
        "from transformers import Qwen3Config, Qwen3ForCausalLM\n"
        "class Own(Qwen3ForCausalLM):\n    config_class = Qwen3Config\n"
    )
    edit_llm(directory, "config.json", {"auto_map": {"AutoModelForCausalLM": "code.Own"}})
    edit(directory, lambda c: c["llm_conf"].update(load_kwargs={"trust_remote_code": True}))


def test_python_of_a_language_model_is_not_run(
    directory: Path, made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The class of funasr would run it: the file is no stand-in."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "c"))
    config = read_config(directory)
    foreign_llm(directory, made)
    config["llm_conf"]["load_kwargs"] = {"trust_remote_code": True}
    Model(**config, input_size=560, vocab_size=-1)
    assert made.read_text() == "run"
    made.unlink()
    with pytest.raises(CheckpointError, match=r"load_kwargs\.trust_remote_code is True, by which"):
        fun_asr_nano.load(directory)
    edit(directory, lambda c: c["llm_conf"].pop("load_kwargs"))
    with pytest.raises(CheckpointError, match=r"config\.json: auto_map is .*runs Python"):
        fun_asr_nano.load(directory)
    assert not made.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["audio_encoder_conf"].update(hub="ms"),
            r"config\.yaml: audio_encoder_conf\.hub is 'ms', by which FunASR fetches another",
        ),
        (lambda c: c["llm_conf"].update(hub="ms"), r"llm_conf\.hub is 'ms'"),
        (
            lambda c: c["llm_conf"].update(load_kwargs={"attn_implementation": "some/kernel"}),
            r"load_kwargs\.attn_implementation is 'some/kernel', by which transformers fetches",
        ),
        (
            lambda c: c.update(llm_kwargs={"custom_generate": "org/name"}),
            r"llm_kwargs\.custom_generate is 'org/name', by which transformers runs Python",
        ),
        *(
            (lambda c, name=name: c.update({name: "fsmn-vad"}), f"{name} is 'fsmn-vad', by which F")
            for name in ("vad_model", "punc_model", "spk_model", "forced_aligner")
        ),
        (
            lambda c: c["model_conf"].update(audio={"feature_encoder_spec": "[print()]"}),
            r"audio\.feature_encoder_spec is '\[print\(\)\]', by which FunASR runs the value",
        ),
        (
            lambda c: c.update(hotword="https://some.where/list.txt"),
            r"hotword is 'https://some\.where/list\.txt', by which FunASR fetches a list",
        ),
        *(
            (lambda c, name=name: c.update({name: "https://h"}), f"{name} .* FunASR sends the spee")
            for name in ("vllm_base_url", "sglang_base_url")
        ),
    ],
)
def test_a_config_that_has_more_fetched_is_refused(
    directory: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    """Wherever the directory came from, since the loader would obey."""
    fun_asr_nano.load(directory)
    edit(directory, change)
    with pytest.raises(CheckpointError, match=message):
        fun_asr_nano.load(directory)


def test_keys_that_say_nothing_pass(directory: Path) -> None:
    """Without a value, or with one that names nothing elsewhere; or where nobody obeys them."""
    edit(directory, lambda c: c.update(vad_model=None, punc_model="", spk_model={}, hotword="葵"))
    entries = json.loads((directory / "configuration.json").read_bytes())
    entries["model"]["vad_model"] = "fsmn-vad"
    write_json(directory / "configuration.json", entries)
    fun_asr_nano.load(directory)
    auto_model.load(directory)
    entries["file_path_metas"]["vad_model"] = "vad"
    write_json(directory / "configuration.json", entries)
    with pytest.raises(
        CheckpointError, match=r"configuration\.json: file_path_metas\.vad_model is"
    ):
        auto_model.load(directory)


@pytest.mark.parametrize("section", ["llm_conf", "tokenizer_conf"])
def test_a_language_model_that_is_not_here_is_not_looked_for(directory: Path, section: str) -> None:
    """A name of the hub in place of a directory, as older configs of FunASR have it."""
    entries = json.loads((directory / "configuration.json").read_bytes())
    del entries["file_path_metas"][section]
    write_json(directory / "configuration.json", entries)
    edit(directory, lambda c: c[section].update(init_param_path="Qwen/Qwen3-0.6B"))
    for load in LOADS:
        with pytest.raises(
            CheckpointError,
            match=rf"{section}\.init_param_path is 'Qwen/Qwen3-0\.6B', which is no dir",
        ):
            load(directory)


def test_values_that_stand_for_others_are_judged_by_what_they_become(directory: Path) -> None:
    """As the published config.yaml has one; and a string that becomes a map is no way around."""
    edit(directory, lambda c: c["tokenizer_conf"].update(init_param_path="${llm_conf.some}"))
    edit(directory, lambda c: c["llm_conf"].update(some=LLM_DIRECTORY))
    for load in LOADS:
        load(directory)
    edit(directory, lambda c: c.update(audio_encoder_conf="${oc.decode:'{hub: ms}'}"))
    for load in LOADS[1:]:
        with pytest.raises(CheckpointError, match=r"audio_encoder_conf\.hub is 'ms', by which"):
            load(directory)
    edit(directory, lambda c: c.update(audio_encoder_conf="\\${oc.decode:'{hub: ms}'}"))
    for load in LOADS[1:]:
        with pytest.raises(CheckpointError, match=r"audio_encoder_conf becomes .\$\{oc\.decode"):
            load(directory)


def test_a_config_of_another_name_is_no_way_around(directory: Path) -> None:
    """Configuration.json may name any file as the one that AutoModel reads."""
    config = YAML(typ="safe").load(directory / "config.yaml")
    YAML().dump(config | {"trust_remote_code": True}, directory / "notes.txt")
    entries = json.loads((directory / "configuration.json").read_bytes())
    entries["file_path_metas"]["config"] = "notes.txt"
    write_json(directory / "configuration.json", entries)
    for load in LOADS[1:]:
        with pytest.raises(CheckpointError, match="trust_remote_code is True, by which Python"):
            load(directory)


def test_what_a_trainer_left_is_refused_of_a_download_alone(directory: Path, made: Path) -> None:
    """The loader here runs no plug-in, `funasr.AutoModel` would."""
    (directory / "plugin.py").write_text(f"open({str(made)!r}, 'w')\n")
    edit(directory, lambda c: c.update(trust_remote_code=True, remote_code="./plugin.py"))
    fun_asr_nano.load(directory)
    for refusing in (foreign.refuse_directory, auto_model.load):
        with pytest.raises(CheckpointError, match=r"trust_remote_code is True, by which Python"):
            refusing(directory)
    edit(directory, lambda c: c.update(trust_remote_code=False, remote_code=None))
    foreign.refuse_directory(directory)
    assert not made.exists()


def test_files_in_folders_of_a_download_are_read_too(directory: Path) -> None:
    """A tokenizer's own Python, and a file that cannot be read."""
    foreign.refuse_directory(directory)
    edit_llm(directory, "tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["t.Own", None]}})
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json: auto_map is"):
        foreign.refuse_directory(directory)
    (directory / LLM_DIRECTORY / "tokenizer_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json cannot be read"):
        foreign.refuse_directory(directory)
