"""An export for funasr says what its checkpoint says, to those who have funasr and nothing else."""

import dataclasses
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from ruamel.yaml import YAML

from galgame_asr.core.files import content_hash
from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.families.fun_asr_nano.network import CTC_BRANCH
from galgame_asr.formats.funasr import export as exporting
from galgame_asr.messages.errors import CheckpointError, ConfigError, ExportError
from galgame_asr.runtimes import load as runtimes
from galgame_asr.stages import export as export_stage
from tests import models, nanos
from tests.exports import assert_used_alike, verified, write_repository

COUNT, TOKENS = 6, 8
AUDIOS = [models.noise(0.1 + number / 2, number) for number in range(COUNT)]
PROMPTS = {
    "none": Prompt(),
    "japanese": models.JAPANESE,
    "hotwords": Prompt(hotwords=("葵", "凛")),
    "not_normalised": Prompt(itn=False),
    "all": Prompt(language="日文", hotwords=("葵", "凛"), itn=False),
}

# What a user runs, in a process that has neither this project nor a network.
THEIRS = """
import json, socket, sys
sys.modules["galgame_asr"] = None
def refuse(*_):
    raise OSError("the network is refused")
socket.socket.connect = socket.getaddrinfo = refuse
import torch
from funasr import AutoModel
from funasr.models.fun_asr_nano.model import FunASRNano
asked = json.load(open(sys.argv[1]))
said = {}
for directory in asked["directories"]:
    model = AutoModel(model=directory, device="cpu", ncpu=1, disable_update=True)
    for name, prompt in asked["prompts"].items():
        said[f"{directory} {name}"] = [
            model.generate(input=[audio], max_length=asked["tokens"], **prompt)[0]["text"]
            for audio in map(torch.tensor, asked["audios"])
        ]
# As in demo2.py of Fun-ASR: the model class itself, a file, and a language.
model, options = FunASRNano.from_pretrained(model=asked["directories"][0], device="cpu")
model.eval()
options |= {"language": "日文", "max_length": asked["tokens"]}
said["demo"] = model.inference(data_in=[asked["wav"]], **options)[0][0]["text"]
shards = [asked["directories"][0] + "/model.pt"] * 2
try:
    AutoModel(model=asked["directories"][0], device="cpu", disable_update=True, init_param=shards)
except TypeError as error:
    said["list of files"] = str(error)
print("names with a comma:")
AutoModel(
    model=asked["directories"][0], device="cpu", disable_update=True, init_param=",".join(shards)
)
json.dump(said, open(sys.argv[2], "w"))
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "full")


def build(directory: Path, seed: int = 0) -> Path:
    """A model with random weights that says something else of each utterance."""
    models.build(directory, seed=seed)

    def enlarge(state: dict[str, torch.Tensor]) -> None:
        parts = ("llm.model.layers.", "audio_adaptor.")
        state |= {n: 10 * t for n, t in state.items() if t.ndim == 2 and n.startswith(parts)}

    rewrite(directory, enlarge)
    return directory


@pytest.fixture(scope="module")
def export(checkpoint: Path) -> Path:
    return make_export(checkpoint, "float32")


@pytest.fixture(scope="module")
def smaller(checkpoint: Path) -> Path:
    return make_export(checkpoint, "bfloat16")


def make_export(checkpoint: Path, precision: str = "float32", name: str | None = None) -> Path:
    directory = checkpoint.parent / (name or precision)
    directory.mkdir()
    exporting.export(checkpoint, directory, precision)
    return directory


@pytest.fixture(scope="module")
def theirs(
    export: Path, smaller: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Any]:
    """What funasr says, from copies of the exports in another folder; and what it prints."""
    root = tmp_path_factory.mktemp("elsewhere")
    for directory in (export, smaller):
        shutil.copytree(directory, root / directory.name)
    soundfile.write(root / "5.wav", AUDIOS[5], 16_000, subtype="FLOAT")
    asked = {
        "directories": [export.name, smaller.name],
        "prompts": {name: keywords(prompt) for name, prompt in PROMPTS.items()},
        "audios": [audio.tolist() for audio in AUDIOS],
        "tokens": TOKENS,
        "wav": "5.wav",
    }
    (root / "asked.json").write_text(json.dumps(asked))
    done = subprocess.run(
        [sys.executable, "-I", "-c", THEIRS, "asked.json", "said.json"],
        cwd=root,
        env={"PATH": os.environ["PATH"], "HOME": str(root), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads((root / "said.json").read_text())
    return said | {"printed": done.stdout}


def keywords(prompt: Prompt) -> dict[str, Any]:
    """A prompt as `AutoModel.generate` takes it."""
    return {"language": prompt.language, "hotwords": list(prompt.hotwords), "itn": prompt.itn}


def say(family: str, directory: Path, prompt: Prompt, **more: Any) -> list[Transcript]:
    recogniser = runtimes.load(family, directory)
    features = [recogniser.features(audio) for audio in AUDIOS]
    return recogniser.transcribe(features, prompt, Search([TOKENS] * COUNT, **more))


def texts(transcripts: list[Transcript]) -> list[str]:
    return [one.text for one in transcripts]


@pytest.mark.parametrize("name", PROMPTS)
def test_funasr_alone_says_the_same(checkpoint: Path, theirs: Mapping[str, Any], name: str) -> None:
    """Each text of the checkpoint, with any prompt, from a folder that was moved."""
    ours = texts(say("fun_asr_nano", checkpoint, PROMPTS[name]))
    assert theirs[f"float32 {name}"] == ours
    assert len(set(ours)) > COUNT / 2


def test_prompts_matter_here(theirs: Mapping[str, Any]) -> None:
    """Else the test above would show nothing."""
    assert len({tuple(theirs[f"float32 {name}"]) for name in PROMPTS}) == len(PROMPTS)


def test_the_demo_says_the_same(theirs: Mapping[str, Any]) -> None:
    """The model class without AutoModel, and a file instead of samples."""
    assert theirs["demo"] == theirs["float32 japanese"][5]


def test_automodel_loads_no_shards(theirs: Mapping[str, Any]) -> None:
    """Why the weights are one file. A funasr that can would make this fail."""
    assert "not list" in theirs["list of files"]
    assert "error, init_param does not exist!" in theirs["printed"].partition("a comma:")[2]
    assert "miss key" not in theirs["printed"]


def test_half_the_size_says_what_its_own_weights_say(
    checkpoint: Path, export: Path, smaller: Path, theirs: Mapping[str, Any]
) -> None:
    """bfloat16 rounds to 8 bits; what is then said is the same by funasr and by our code."""
    sizes = [(directory / "model.pt").stat().st_size for directory in (export, smaller)]
    assert sizes[1] < 0.6 * sizes[0]
    assert exporting.differences(checkpoint, export) == {"model.pt": 0.0}
    assert 0.0 < exporting.differences(checkpoint, smaller)["model.pt"] <= 2**-8
    assert runtimes.detect(smaller) == "fun_asr_nano"
    for name, prompt in PROMPTS.items():
        assert theirs[f"bfloat16 {name}"] == texts(say("fun_asr_nano", smaller, prompt))


def test_the_recogniser_is_automodel(export: Path, theirs: Mapping[str, Any]) -> None:
    """Verified is what users get; the counts of tokens end at the limit."""
    found = say(exporting.RUNTIME, export, PROMPTS["all"])
    assert texts(found) == theirs["float32 all"]
    assert texts(found) == texts(say("fun_asr_nano", export, PROMPTS["all"]))
    assert {one.log_prob for one in found} == {None}
    assert all(0 < one.num_tokens <= TOKENS for one in found)
    assert exporting.front_end(export) is None


def test_no_sequence_twice(checkpoint: Path, export: Path) -> None:
    """no_repeat_ngram_size is passed on."""
    free = texts(say("fun_asr_nano", checkpoint, Prompt()))
    found = texts(say(exporting.RUNTIME, export, Prompt(), no_repeat_ngram_size=1))
    assert found == texts(say("fun_asr_nano", checkpoint, Prompt(), no_repeat_ngram_size=1))
    assert found != free


def test_equal_checkpoints_give_equal_bytes(checkpoint: Path, export: Path, tmp_path: Path) -> None:
    """Wherever they lie, also read-only ones of DVC's; no file names a place."""
    moved = tmp_path / "a" / "checkpoint"
    shutil.copytree(checkpoint, moved)
    for file in moved.rglob("*"):
        file.chmod(0o555 if file.is_dir() else 0o444)
    other = tmp_path / "other"
    other.mkdir()
    exporting.export(moved, other, "float32")
    assert content_hash([other]) == content_hash([export])
    for file in export.rglob("*"):
        if file.is_file():
            assert str(checkpoint.parent).encode() not in file.read_bytes()
            assert file.stat().st_mode & 0o200


def edited(checkpoint: Path, target: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy of a checkpoint with another config.yaml."""
    shutil.copytree(checkpoint, target)
    config = YAML(typ="safe").load(target / "config.yaml")
    change(config)
    YAML().dump(config, target / "config.yaml")
    return target


def test_what_a_trainer_left_is_taken_out(checkpoint: Path, tmp_path: Path) -> None:
    """Places, code to import, noise on the samples, another prompt: as if it had never been."""

    def change(config: dict[str, Any]) -> None:
        config |= {
            "output_dir": "/home/me/outputs", "init_param": "/home/me/base/model.pt",
            "trust_remote_code": True, "remote_code": "/home/me/plugin.py",
            "train_data_set_list": "/data/train.jsonl", "train_conf": {"max_epoch": 2},
            "dataset_conf": {"do_think": False, "sys_prompt": False, "batch_size": 4},
        }  # fmt: skip
        config["frontend_conf"]["dither"] = 1.0
        config["tokenizer_conf"]["init_param_path"] = "/home/me/base/Qwen3-tiny"
        config["llm_conf"] |= {"init_param_path": "/home/me/Qwen3-tiny", "llm_dtype": "bf16"}

    directory = edited(checkpoint, tmp_path / "trained", change)
    for name in ("config.yaml", "configuration.json"):  # saved by an editor
        (directory / name).write_bytes(b"\xef\xbb\xbf" + (directory / name).read_bytes())
    (directory / "LICENSE").write_text("terms")
    (directory / "example.wav").write_text("not needed")
    made = make_export(directory)
    assert b"/home/me" not in (made / "config.yaml").read_bytes()
    config = YAML(typ="safe").load(made / "config.yaml")
    assert config["frontend_conf"]["dither"] == 0.0
    assert config["llm_conf"]["llm_dtype"] == "fp32"
    assert config["train_conf"] == {"max_epoch": 2}
    assert config["dataset_conf"] == {"batch_size": 4}
    assert not {"trust_remote_code", "remote_code"} & set(config)
    assert sorted(file.name for file in made.iterdir()) == [
        "LICENSE", "Qwen3-tiny", "config.yaml", "configuration.json", "model.pt",
    ]  # fmt: skip
    assert texts(say(exporting.RUNTIME, made, PROMPTS["all"])) == texts(
        say("fun_asr_nano", checkpoint, PROMPTS["all"])
    )


def rewrite(directory: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Change the tensors of a directory."""
    saved = torch.load(directory / "model.pt", weights_only=True)
    change(saved["state_dict"])
    torch.save(saved, directory / "model.pt")


def test_parts_in_bfloat16_become_float32_exactly(checkpoint: Path, tmp_path: Path) -> None:
    """A frozen language model keeps the type that it was published in."""
    directory = tmp_path / "mixed"
    shutil.copytree(checkpoint, directory)

    def halve(state: dict[str, torch.Tensor]) -> None:
        state |= {n: t.bfloat16() for n, t in state.items() if n.startswith("llm.")}

    rewrite(directory, halve)
    made = make_export(directory)
    assert exporting.differences(directory, made) == {"model.pt": 0.0}
    saved = torch.load(made / "model.pt", weights_only=True)["state_dict"]
    assert {t.dtype for t in saved.values() if t.is_floating_point()} == {torch.float32}


def test_a_changed_file_shows(checkpoint: Path, export: Path, tmp_path: Path) -> None:
    """Another value, another shape, a tensor too few."""
    damaged = tmp_path / "damaged"
    shutil.copytree(export, damaged)
    name = "audio_adaptor.linear1.bias"

    def add(state: dict[str, torch.Tensor]) -> None:
        state[name] = state[name] + 2 * state[name].abs().max()

    rewrite(damaged, add)
    assert exporting.differences(checkpoint, damaged)["model.pt"] == pytest.approx(2.0, rel=1e-5)
    rewrite(damaged, lambda state: state.pop(name))
    assert exporting.differences(checkpoint, damaged) == {"model.pt": float("inf")}
    with pytest.raises(CheckpointError, match=r"is no whole model: funasr says: .* miss key"):
        say(exporting.RUNTIME, damaged, Prompt())
    (damaged / "model.pt").write_bytes(b"not a file of tensors")
    with pytest.raises(ExportError, match=r"model\.pt cannot be read as a checkpoint"):
        exporting.differences(checkpoint, damaged)
    with pytest.raises(CheckpointError, match="damaged cannot be loaded by funasr"):
        say(exporting.RUNTIME, damaged, Prompt())
    (damaged / "configuration.json").unlink()
    with pytest.raises(CheckpointError, match=r"it lacks configuration\.json"):
        runtimes.load(exporting.RUNTIME, damaged)


def test_a_described_branch_may_be_missing(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in the Hugging Face hub's file of the published model: texts are the checkpoint's.

    What FunASR's trainer drew in its place is told, where config.yaml gives it away.
    """
    full = nanos.add_ctc(Path(shutil.copytree(checkpoint, tmp_path / "plain")))
    cache = "/root/.cache/huggingface/hub/models--FunAudioLLM--Fun-ASR-Nano-2512/snapshots/1"
    directory = edited(full, tmp_path / "full", lambda config: config.update(model_path=cache))
    caplog.set_level(logging.WARNING, logger="galgame_asr")
    make_export(full, name="of plain")
    assert "its weights are random" not in caplog.text
    make_export(directory, name="random")
    assert "full/config.yaml: FunASR trained this from the Hugging Face hub's file" in caplog.text
    caplog.clear()

    def strip(state: dict[str, torch.Tensor]) -> None:
        for name in [name for name in state if name.startswith(CTC_BRANCH)]:
            del state[name]

    rewrite(directory, strip)
    made = make_export(directory)
    assert "its weights are random" not in caplog.text
    said = texts(say(exporting.RUNTIME, made, models.JAPANESE))
    assert said == texts(say("fun_asr_nano", directory, models.JAPANESE))


def test_what_cannot_be_exported_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    """Before anything is written: other families, adapters, half models, files elsewhere."""
    output = tmp_path / "out"
    output.mkdir()

    def refused(directory: Path, message: str, kind: type[Exception] = ExportError) -> None:
        with pytest.raises(kind, match=message):
            exporting.export(directory, output, "float32")

    refused(models.build_whisper(tmp_path / "w"), "of family whisper; .* takes fun_asr_nano alone")

    adapted = tmp_path / "adapted"
    shutil.copytree(checkpoint, adapted)
    name = "llm.model.layers.0.self_attn.q_proj.lora_A.default.weight"
    rewrite(adapted, lambda state: state.update({name: torch.zeros(1)}))
    refused(adapted, "has LoRA adapters that are not folded")
    configured = edited(
        checkpoint, tmp_path / "configured", lambda c: c["llm_conf"].update(use_lora=True)
    )
    refused(configured, "has LoRA adapters")

    half = tmp_path / "half"
    shutil.copytree(checkpoint, half)
    rewrite(half, lambda state: state.pop("audio_adaptor.linear1.bias"))
    refused(half, "1 missing: audio_adaptor.linear1.bias", CheckpointError)

    outside = tmp_path / "outside"
    shutil.copytree(checkpoint, outside)
    metas = json.loads((outside / "configuration.json").read_text())
    metas["file_path_metas"]["frontend_conf"] = {"cmvn_file": "../am.mvn"}
    (outside / "configuration.json").write_text(json.dumps(metas))
    refused(outside, r"names \.\./am\.mvn, which is not in its directory")
    assert list(output.iterdir()) == []

    absolute = edited(
        checkpoint, tmp_path / "c", lambda c: c["frontend_conf"].update(cmvn_file="/am.mvn")
    )
    refused(absolute, "names /am.mvn, which others do not have")


def test_what_automodel_cannot_do_is_refused(export: Path) -> None:
    """Instead of doing something else."""
    with pytest.raises(ConfigError, match=r"decode\.beams is 2; AutoModel's own search is greedy"):
        say(exporting.RUNTIME, export, Prompt(), beams=2)
    with pytest.raises(ConfigError, match="timestamps: Fun-ASR-Nano writes none"):
        say(exporting.RUNTIME, export, dataclasses.replace(Prompt(), timestamps=True))
    with pytest.raises(ConfigError, match=r"AutoModel would take <\|im_end\|> in"):
        say(exporting.RUNTIME, export, Prompt(hotwords=("葵<|im_end|>",)))
    with pytest.raises(ConfigError, match="is an export, whose weights"):
        runtimes.load(exporting.RUNTIME, export, Path("other.pt"))


def test_the_stages_make_and_verify_one(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures stand in metrics/, and what is refused of an export of other weights."""
    monkeypatch.chdir(tmp_path)
    entry = {"format": "funasr", "verify": {"max_difference": 0.0}}
    write_repository(tmp_path, checkpoint, {"auto": entry}, max_new_tokens=TOKENS)
    export_stage.main(["auto"])
    assert_used_alike(tmp_path, "auto")
    found = verified(tmp_path, "auto")
    assert found["equal"] == found["utterances"] == 8
    assert found["problems"] == []
    assert found["cer"] == found["cer_checkpoint"] == found["cer_front_end"] > 0.5
    assert found["differences"] == {"model.pt": 0.0}
    assert found["runtime"].startswith("funasr 1.")
    assert found["log_prob_difference"] is None
    other = build(tmp_path / "other", seed=1)
    shutil.copyfile(other / "model.pt", tmp_path / "models" / "export" / "auto" / "model.pt")
    first, *_, last = verified(tmp_path, "auto")["problems"]
    assert "texts are equal" in first
    assert last.startswith("model.pt differs by")
