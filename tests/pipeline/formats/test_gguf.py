"""GGUF files hold what their checkpoint holds, and say the same when nothing else is read."""

import itertools
import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from galgame_asr.families.common import family as families
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.formats.common.exporter import load
from galgame_asr.formats.gguf import export as exporting
from galgame_asr.messages.errors import CheckpointError, ConfigError, ExportError
from galgame_asr.runtimes import load as runtimes
from galgame_asr.runtimes.gguf import ENCODER, LLM
from galgame_asr.runtimes.gguf_files import Reader
from galgame_asr.stages import export as export_stage
from galgame_asr.stages import verify
from tests import models, nanos, whispers
from tests.exports import assert_used_alike, write_repository

gguf = pytest.importorskip("gguf", reason="needs the extra export: make .venv/dev")
RUNNABLE: dict[str, Any] = {"audio_adaptor_conf": {"downsample_rate": 1}}
# Sizes that differ from the tiny model's and from each other.
OTHER: dict[str, Any] = {
    "audio_encoder_conf": {
        "output_size": 24, "attention_heads": 2, "linear_units": 40, "num_blocks": 3,
        "tp_blocks": 2, "kernel_size": 7,
    },
    "audio_adaptor_conf": {
        "downsample_rate": 2, "ffn_dim": 56, "n_layer": 2, "attention_heads": 4,
    },
    "llm": {
        "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
        "num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 16,
        "tie_word_embeddings": False, "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nanos.build(tmp_path_factory.mktemp("models") / "base", **RUNNABLE)


@pytest.fixture(scope="module")
def export(checkpoint: Path) -> Path:
    return make_export(checkpoint, "float32")


def make_export(checkpoint: Path, precision: str) -> Path:
    return nanos.make_export(load("gguf"), checkpoint, precision)


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = torch.load(checkpoint / "model.pt", weights_only=True)[
        "state_dict"
    ]
    return tensors


@pytest.mark.parametrize(("changes", "distinct"), [(RUNNABLE, 8), ({}, 8), (OTHER, 4)])
def test_float32_says_the_same(tmp_path: Path, changes: dict[str, Any], distinct: int) -> None:
    """Of any sizes: every tensor is equal, and every text with its probability, also in beams."""
    checkpoint = nanos.build(tmp_path / "base", **changes)
    export = make_export(checkpoint, "float32")
    assert exporting.differences(checkpoint, export) == {ENCODER: 0, LLM: 0}
    read = runtimes.load("gguf", export).model.state_dict()
    expected = weights(checkpoint)
    assert read.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in read.items())
    said = nanos.say(checkpoint)
    for one, other in zip(said, nanos.say(export), strict=True):
        assert (one.text, one.num_tokens) == (other.text, other.num_tokens)
        # Tensors of a GGUF file lie at other places in memory, and sums then end in other bits.
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
    assert len({one.text for one in said}) >= distinct
    prompt = Prompt(hotwords=("葵",), itn=False)
    more = [nanos.say(directory, prompt, count=4, beams=2) for directory in (checkpoint, export)]
    assert [one.text for one in more[0]] == [one.text for one in more[1]]


@pytest.mark.parametrize(
    ("precision", "largest", "least", "share"),
    [("float16", 1e-3, 10, 0.6), ("q8_0", 5e-3, 6, 0.6)],
)
def test_smaller_precisions_are_close(
    checkpoint: Path, export: Path, precision: str, largest: float, least: int, share: float
) -> None:
    """Matrices in less space, vectors exact; most texts of random weights stay."""
    smaller = make_export(checkpoint, precision)
    found = exporting.differences(checkpoint, smaller)
    assert all(0 < value < largest for value in found.values())
    assert nanos.equal(nanos.say(smaller), nanos.say(checkpoint)) >= least
    expected, read = weights(checkpoint), runtimes.load("gguf", smaller).model
    for name, tensor in read.state_dict().items():
        assert tensor.ndim == 2 or torch.equal(tensor, expected[name])
    # Without the keys, the tokenizer above all, which weigh as much as so small a model.
    sizes = [tensor_bytes(directory) for directory in (smaller, export)]
    assert sizes[0] < share * sizes[1]


def tensor_bytes(directory: Path) -> int:
    readers = (gguf.GGUFReader(directory / name) for name in (ENCODER, LLM))
    return sum(int(tensor.n_bytes) for reader in readers for tensor in reader.tensors)


def test_q8_0_keeps_rows_that_it_cannot_hold(checkpoint: Path, tmp_path: Path) -> None:
    """They stay float32, as in FunASR's own files: 560 features are no multiple of 32."""
    exporting.export(checkpoint, tmp_path, "q8_0")
    tensors = {t.name: t for t in gguf.GGUFReader(tmp_path / ENCODER).tensors}
    kinds = gguf.GGMLQuantizationType
    first = "audio_encoder.encoders0.0.self_attn."
    assert tensors[f"{first}linear_q_k_v.weight"].tensor_type == kinds.F32
    assert tensors["audio_adaptor.linear2.weight"].tensor_type == kinds.Q8_0
    # Taps outside, channels inside: (kernel, encoder dim).
    assert tensors[f"{first}fsmn_block.weight"].data.shape == (11, 16)


def test_transformers_reads_the_language_model(checkpoint: Path, tmp_path: Path) -> None:
    """Its own reader finds equal tensors, and a tokenizer with the same tokens of text."""
    exporting.export(checkpoint, tmp_path, "float32")
    # It does not read the size of a head, which it takes to be the published 128.
    model = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=LLM, head_dim=8, dtype=torch.float32
    )
    expected = weights(checkpoint)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[f"llm.{name}"])
    read = AutoTokenizer.from_pretrained(tmp_path, gguf_file=LLM)
    own = AutoTokenizer.from_pretrained(checkpoint / "Qwen3-tiny")
    for text in (*models.TEXTS, "<|im_start|>葵<|im_end|>"):
        assert read.encode(text) == own.encode(text)
        assert read.decode(own.encode(text)) == text
    config = model.config
    assert (config.eos_token_id, config.hidden_size, config.num_key_value_heads) == (2, 32, 2)


def test_equal_checkpoints_give_equal_bytes(checkpoint: Path, export: Path, tmp_path: Path) -> None:
    """In another process and from another place, which stands in no file."""
    nanos.same_bytes_elsewhere("gguf", checkpoint, export, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio_encoder_conf": {"sanm_shfit": 2}}, r"audio_encoder_conf\.sanm_shfit is 2; the r"),
        ({"audio_encoder_conf": {"normalize_before": False}}, "normalize_before is False; the ru"),
        ({"audio_adaptor_conf": {"use_low_frame_rate": False}}, "use_low_frame_rate is False"),
        ({"frontend_conf": {"window": "povey"}}, "window is povey; the runtime takes hamming"),
        ({"llm": {"attention_bias": True}}, r"does not know: model\.layers\.0\.self_attn\."),
        ({"llm": {"use_sliding_window": True}}, "use_sliding_window is True; a GGUF file"),
        ({"llm": {"eos_token_id": [2, 0]}}, r"eos_token_id is \[2, 0\]; a GGUF file takes one"),
        ({"llm_conf": {"use_lora": True}}, r"adapters .* not folded .*\(llm_conf\.use_lora\)"),
    ],
)
def test_what_the_runtime_would_get_wrong_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """The message says what was found and what is allowed."""
    checkpoint = nanos.build(tmp_path / "base", **changes)
    with pytest.raises(ExportError, match=message):
        exporting.export(checkpoint, tmp_path, "float32")


def test_other_models_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    """Another family, adapters that were not folded in, a tokenizer of another kind."""
    whisper = whispers.build(tmp_path / "whisper")
    with pytest.raises(ExportError, match=r"is of family whisper; .* takes fun_asr_nano alone"):
        exporting.export(whisper, tmp_path, "float32")
    adapted, layer = tmp_path / "adapted", "llm.model.layers.0.self_attn.q_proj.lora_A.weight"
    shutil.copytree(checkpoint, adapted)
    torch.save(
        {"state_dict": weights(checkpoint) | {layer: torch.ones(2, 2)}}, adapted / "model.pt"
    )
    with pytest.raises(ExportError, match=r"not folded .*q_proj\.lora_A.*W \+ alpha / r"):
        exporting.export(adapted, tmp_path, "float32")
    plain = tmp_path / "plain"
    shutil.copytree(checkpoint, plain)
    file = plain / "Qwen3-tiny" / "tokenizer.json"
    values = json.loads(file.read_text())
    for token in values["added_tokens"]:
        token["special"] = token["special"] and token["content"] != "<|im_start|>"
    file.write_text(json.dumps(values))
    with pytest.raises(ExportError, match=r"no special token <\|im_start\|>, which the runtime"):
        exporting.export(plain, tmp_path, "float32")


def test_stacked_frames_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The embedded model's adaptor is one that FunASR's command cannot run."""
    checkpoint = nanos.build(tmp_path / "base")
    caplog.set_level(logging.WARNING, logger="galgame_asr")
    export = make_export(checkpoint, "float32")
    assert "stacks 8 frames in its adaptor (downsample_rate): llama-funasr-cli" in caplog.text
    assert Reader(export / ENCODER).value("funasr.adp.downsample_rate") == 8
    assert exporting.say(export, nanos.AUDIOS[:1]) is None


def test_damaged_files_are_named(export: Path, tmp_path: Path) -> None:
    """Wherever they end, and where they are of two exports."""
    for name, share in itertools.product((ENCODER, LLM), (0, 0.01, 0.3, 0.98)):
        damaged = tmp_path / f"{name}-{share}"
        shutil.copytree(export, damaged)
        content = (export / name).read_bytes()
        (damaged / name).write_bytes(content[: int(share * len(content))])
        with pytest.raises(CheckpointError, match=name):
            runtimes.load("gguf", damaged)
        (damaged / name).unlink()
        with pytest.raises(CheckpointError, match=f"{name} is missing"):
            runtimes.load("gguf", damaged)
    mixed = tmp_path / "mixed"
    other = make_export(nanos.build(tmp_path / "other", **OTHER), "float32")
    shutil.copytree(export, mixed)
    shutil.copyfile(other / LLM, mixed / LLM)
    with pytest.raises(CheckpointError, match=r"encoder\.gguf: tensor audio_adaptor\.\S+ has sha"):
        runtimes.load("gguf", mixed)
    with pytest.raises(ConfigError, match="is an export, whose weights"):
        runtimes.load("gguf", export, Path("other.pt"))


def test_a_missing_package_is_named(
    checkpoint: Path, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "gguf", None)
    install = r"gguf is not installed: pip install -c constraints\.txt '\.\[export\]'"
    with pytest.raises(ConfigError, match=install):
        exporting.export(checkpoint, tmp_path, "float32")
    with pytest.raises(ConfigError, match=install):
        runtimes.load("gguf", export)


@pytest.mark.skipif(
    shutil.which(exporting.CLI) is None,
    reason="needs FunASR's llama.cpp runtime: put llama-funasr-cli on the PATH",
)
def test_the_runtime_says_the_same(checkpoint: Path, export: Path) -> None:
    """FunASR's own command, with its one prompt, about speech that hardly repeats."""
    said = exporting.say(export, nanos.AUDIOS[:4])
    expected = nanos.say(checkpoint, Prompt(), count=4)
    assert said is not None
    assert all(text.startswith(one.text) for text, one in zip(said, expected, strict=True))


@pytest.fixture
def repository(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stages read: ten utterances, the checkpoint, and params that name an export."""
    monkeypatch.chdir(tmp_path)
    entry = {"format": "gguf", "verify": {"utterances": 10, "max_difference": 0.0}}
    return write_repository(tmp_path, checkpoint, {"edge": entry}, max_new_tokens=nanos.TOKENS)


def test_the_stages_make_and_verify_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where FunASR's command is on PATH, the figures say what came of it."""
    export_stage.main(["edge"])
    assert_used_alike(repository, "edge")
    figures = repository / "metrics" / "verify" / "edge.json"
    monkeypatch.setenv("PATH", "/nowhere")
    verify.main(["edge"])
    found = json.loads(figures.read_text())
    assert found["equal"] == found["utterances"] == 10
    assert found["differences"] == {ENCODER: 0.0, LLM: 0.0}
    assert found["by_command"] is None
    text = nanos_text(repository)
    # Stands in for it: says what the checkpoint says about the first utterance.
    command = repository / "bin" / exporting.CLI
    command.parent.mkdir()
    command.write_text(
        f"#!{sys.executable}\nimport sys\nassert len(sys.argv) == 7\nprint({text!r})\n"
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent))
    verify.main(["edge"])
    equal, asked = json.loads(figures.read_text())["by_command"]
    assert asked == 8
    assert 1 <= equal < 8
    command.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('no such tensor')\n")
    with pytest.raises(ExportError, match=r"cannot run .*edge \(status 1\): no such tensor"):
        verify.main(["edge"])


def nanos_text(repository: Path) -> str:
    """What the checkpoint says about utterance 0 with the runtime's prompt."""
    nano = fun_asr_nano.load(repository / "models" / "base")
    features = nano.features(models.noise(0.4, 0))
    tokens = families.Search([nanos.TOKENS])
    return nano.transcribe([features], Prompt(), tokens)[0].text
