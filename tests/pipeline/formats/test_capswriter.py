"""The files for CapsWriter-Offline compute what their checkpoint computes, padding or not."""

import base64
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from galgame_asr.core import params as core_params
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.network import CTC_BRANCH
from galgame_asr.formats.capswriter import export as exporting
from galgame_asr.formats.common.exporter import load
from galgame_asr.messages.errors import CheckpointError, ConfigError, ExportError
from galgame_asr.runtimes import load as runtimes
from galgame_asr.runtimes.capswriter import CTC, HEARING, LLM, TOKENS
from galgame_asr.stages import export as export_stage
from galgame_asr.training.freezing import prepare
from galgame_asr.training.params import CommonParams, PhaseParams
from tests import nanos, whispers
from tests.conftest import REPOSITORY
from tests.exports import assert_used_alike, verified, write_repository
from tests.models import examples
from tests.phases import values

for package in ("gguf", "onnx", "onnxruntime"):
    pytest.importorskip(package, reason="needs the extra export: make .venv/dev")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export: make .venv/dev")
OTHER: dict[str, Any] = {
    "audio_encoder_conf": {
        "output_size": 24, "attention_heads": 2, "linear_units": 40, "num_blocks": 3,
        "tp_blocks": 2, "kernel_size": 7, "sanm_shfit": 1,
    },
    "audio_adaptor_conf": {"downsample_rate": 1, "ffn_dim": 56, "n_layer": 2},
    "llm": {
        "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
        "num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 16,
        "tie_word_embeddings": False,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nanos.add_ctc(nanos.build(tmp_path_factory.mktemp("models") / "base"))


@pytest.fixture(scope="module")
def export(checkpoint: Path) -> Path:
    return make_export(checkpoint, "float32")


def make_export(checkpoint: Path, precision: str) -> Path:
    return nanos.make_export(load("capswriter"), checkpoint, precision)


def session(directory: Path, name: str) -> Any:
    (file,) = directory.glob(f"{name}.*.onnx")
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("changes", "distinct"), [({}, 8), (OTHER, 4)])
def test_float32_says_the_same(tmp_path: Path, changes: dict[str, Any], distinct: int) -> None:
    """Of any sizes: what each file computes, and every text, of speech below 1 s too."""
    checkpoint = nanos.add_ctc(nanos.build(tmp_path / "base", **changes))
    export = make_export(checkpoint, "float32")
    found = dict(exporting.differences(checkpoint, export))
    assert found.pop(f"{LLM}.fp32.gguf") == 0
    assert found.keys() == {f"{HEARING}.fp32.onnx", f"{CTC}.fp32.onnx"}
    assert all(value < 1e-4 for value in found.values())
    said, expected = nanos.say(export), nanos.say(checkpoint)
    assert nanos.equal(said, expected) == nanos.COUNT
    assert len({one.text for one in expected}) >= distinct
    for one, other in zip(said, expected, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-3)


@pytest.mark.parametrize(("precision", "least"), [("float16", 8), ("q8_0", 5)])
def test_smaller_precisions_are_close(
    checkpoint: Path, export: Path, precision: str, least: int
) -> None:
    """Graphs of float16, also what goes in and out; most texts of random weights stay."""
    smaller = make_export(checkpoint, precision)
    found = exporting.differences(checkpoint, smaller)
    assert found.keys() == {
        f"{HEARING}.fp16.onnx",
        f"{CTC}.fp16.onnx",
        f"{LLM}.{'fp16' if precision == 'float16' else 'q8_0'}.gguf",
    }
    assert all(0 < value < 1e-2 for value in found.values())
    assert nanos.equal(nanos.say(smaller), nanos.say(checkpoint)) >= least
    for name in (HEARING, CTC):
        places = session(smaller, name)
        kinds = [place.type for place in (*places.get_inputs(), *places.get_outputs())]
        assert set(kinds) <= {"tensor(float16)", "tensor(int32)"}
        sizes = [next(d.glob(f"{name}.*")).stat().st_size for d in (smaller, export)]
        assert sizes[0] < 0.8 * sizes[1]


@pytest.mark.parametrize("part", ["audio_adaptor.linear1.weight", "ctc.ctc_lo.weight"])
def test_what_float16_cannot_hold_is_found(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Values beyond 65504 are no numbers in the graphs: no gate lets their difference pass."""
    loud = tmp_path / "loud"
    shutil.copytree(checkpoint, loud)
    weights = torch.load(loud / "model.pt", weights_only=True)
    weights["state_dict"][part] *= 1e5
    torch.save(weights, loud / "model.pt")
    monkeypatch.chdir(tmp_path)
    entry = {"format": "capswriter", "precision": "float16", "verify": {"max_difference": 1e9}}
    write_repository(tmp_path, loud, {"x": entry}, max_new_tokens=nanos.TOKENS, decoded=False)
    export_stage.main(["x"])
    found = verified(tmp_path, "x")
    files = [file for file, value in found["differences"].items() if value is None]
    gate = "(export.x.verify.max_difference is 1000000000.0)"
    assert files
    assert {f"{file} has values that are no numbers {gate}" for file in files} <= {
        *found["problems"]
    }


def test_graphs_are_those_that_capswriter_runs(checkpoint: Path, export: Path) -> None:
    """Names, shapes and types; whatever stands in padding, nothing else depends on it."""
    hearing, ctc = session(export, HEARING), session(export, CTC)
    draw = torch.Generator().manual_seed(1)
    features = 10 + 4 * torch.randn(1, 30, 560, generator=draw)
    mask = (torch.arange(30) < 21).float()[None]

    def run(given: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        feed = {"lfr_feat": given.numpy(), "mask": mask.numpy()}
        found = hearing.run(["enc_output", "adaptor_output"], feed)
        found += ctc.run(["topk_log_probs", "topk_indices"], {"enc_output": found[0]})
        return [torch.from_numpy(one) for one in found]

    alone = run(features[:, :21], mask[:, :21])
    assert [tuple(one.shape) for one in alone] == [(1, 21, 16), (1, 3, 32), *[(1, 21, 30)] * 2]
    assert alone[3].dtype == torch.int32
    for filler in (0.0, 25.0):
        padded = run(torch.where(mask[..., None] > 0, features, filler), mask)
        for one, other in zip(padded, alone, strict=True):
            torch.testing.assert_close(one[:, : other.shape[1]], other)
        assert bool((padded[0][:, 21:] == 0).all())
        # The blank alone, and surely.
        assert bool((padded[3][:, 21:, 0] == 299).all())
        assert bool((padded[2][:, 21:, 0] == 0).all())


def test_the_ctc_branch_finds_its_own_tokens(checkpoint: Path, export: Path) -> None:
    """By tokens.txt, as CapsWriter reads it, what FunASR's tokenizer makes of the best path."""
    lines = [line.split() for line in (export / TOKENS).read_text().splitlines()]
    assert [int(number) for _, number in lines] == list(range(300))
    tokens = [base64.b64decode(token) for token, _ in lines]
    assert tokens[299] == b"<blk>"
    assert tokens[:256] == [bytes([n]) for n in range(256)]
    assert tokens[256] == b"<|endoftext|>"
    nano = fun_asr_nano.load(checkpoint)
    nano.add_ctc_loss(1.0, "published")
    features = nano.features(nanos.AUDIOS[5])[None]
    with torch.no_grad():
        encoded, lengths = nano.model.encode(features, torch.tensor([features.shape[1]]))
        best = nano.model.ctc.ctc_lo(nano.model.ctc_decoder(encoded, lengths)[0]).argmax(-1)[0]
    _, indices = session(export, CTC).run(None, {"enc_output": encoded.numpy()})
    assert indices[0, :, 0].tolist() == best.tolist()
    assert len(set(best.tolist())) > 1
    told = nano.ctc_tokenizer.encoding.decode_bytes([n for n in best.tolist() if n != 299])
    assert b"".join(tokens[n] for n in best.tolist() if n != 299) == told


def test_equal_checkpoints_give_equal_bytes(checkpoint: Path, export: Path, tmp_path: Path) -> None:
    """In another process and from another place, which stands in no file."""
    nanos.same_bytes_elsewhere("capswriter", checkpoint, export, tmp_path)


def test_what_capswriter_cannot_use_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    """Another family, no CTC branch, one without its tokenizer, adapters, other settings."""
    whisper = whispers.build(tmp_path / "whisper")
    with pytest.raises(ExportError, match=r"is of family whisper; .* takes fun_asr_nano alone"):
        exporting.export(whisper, tmp_path, "float32")
    plain = nanos.build(tmp_path / "plain")
    with pytest.raises(
        ExportError, match=r"has no CTC branch .*PHASE\.ctc_weight above 0, .* with ctc: new"
    ):
        exporting.export(plain, tmp_path, "float32")
    adapted, layer = tmp_path / "adapted", "llm.model.layers.0.self_attn.q_proj.lora_A.weight"
    shutil.copytree(checkpoint, adapted)
    weights = torch.load(checkpoint / "model.pt", weights_only=True)["state_dict"]
    torch.save({"state_dict": weights | {layer: torch.ones(2, 2)}}, adapted / "model.pt")
    with pytest.raises(ExportError, match=r"not folded .*q_proj\.lora_A"):
        exporting.export(adapted, tmp_path, "float32")
    for name, change, message in (
        ("all", {"audio_adaptor_conf": {"use_low_frame_rate": False}}, "use_low_frame_rate is Fa"),
        ("mels", {"frontend_conf": {"window": "povey"}}, "window is povey; the runtime takes ham"),
    ):
        other = nanos.add_ctc(nanos.build(tmp_path / name, **change))
        with pytest.raises(ExportError, match=message):
            exporting.export(other, tmp_path, "float32")
    mute = tmp_path / "mute"
    shutil.copytree(checkpoint, mute)
    (mute / "multilingual.tiktoken").unlink()
    with pytest.raises(ConfigError, match=r"CTC branch .* whose tokenizer cannot be loaded"):
        exporting.export(mute, tmp_path, "float32")
    assert not list(tmp_path.glob("Fun-ASR*"))


def test_damaged_files_are_named(export: Path, tmp_path: Path) -> None:
    """Cut short or missing; and an export has no weights to replace."""
    for file in export.iterdir():
        damaged = tmp_path / file.name
        shutil.copytree(export, damaged)
        if file.name != TOKENS:
            (damaged / file.name).write_bytes(file.read_bytes()[: file.stat().st_size // 2])
            with pytest.raises(CheckpointError, match=file.name):
                runtimes.load("capswriter", damaged)
        (damaged / file.name).unlink()
        with pytest.raises(CheckpointError, match=file.name.split(".")[0]):
            runtimes.load("capswriter", damaged)
    with pytest.raises(ConfigError, match="is an export, whose weights"):
        runtimes.load("capswriter", export, Path("other.pt"))


def test_missing_packages_are_named(
    checkpoint: Path, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs them."""
    install = r"{} is not installed: pip install -c constraints\.txt '\.\[export\]'"
    for package in ("gguf", "onnx"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, package, None)
            with pytest.raises(ConfigError, match=install.format(package)):
                exporting.export(checkpoint, tmp_path, "float32")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=install.format("onnxruntime")):
        runtimes.load("capswriter", export)


def test_the_stages_make_and_verify_it(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the figures of each file; a difference beyond the gate is refused, by file."""
    monkeypatch.chdir(tmp_path)
    entry = {"format": "capswriter", "verify": {"utterances": 10, "max_difference": 1e-5}}
    entries = {"desktop": entry, "small": entry | {"precision": "q8_0"}}
    write_repository(tmp_path, checkpoint, entries, max_new_tokens=nanos.TOKENS, decoded=False)
    export_stage.main(["desktop"])
    assert_used_alike(tmp_path, "desktop")
    found = verified(tmp_path, "desktop")
    assert found["equal"] == found["utterances"] == 10
    assert found["problems"] == []
    assert found["runtime"].startswith("onnxruntime 1.")
    assert found["differences"].keys() == {
        f"{HEARING}.fp32.onnx", f"{CTC}.fp32.onnx", f"{LLM}.fp32.gguf",
    }  # fmt: skip
    export_stage.main(["small"])
    (*_, last) = verified(tmp_path, "small")["problems"]
    assert re.match(r".*Decoder\.q8_0\.gguf differs by .*max_difference is", last)


def test_a_branch_that_was_trained_anew_is_exported(tmp_path: Path) -> None:
    """A base without one, `ctc: new`, a step, a checkpoint, an export that finds its tokens."""
    base = nanos.add_ctc(nanos.build(tmp_path / "base"))
    saved = torch.load(base / "model.pt", weights_only=True)["state_dict"]
    plain = {name: tensor for name, tensor in saved.items() if not name.startswith(CTC_BRANCH)}
    torch.save({"state_dict": plain}, base / "model.pt")
    with pytest.raises(ExportError, match=r"has no CTC branch"):
        exporting.export(base, tmp_path, "float32")
    trained = fun_asr_nano.load(base)
    params = core_params.parse(PhaseParams, values(ctc_weight=1.0, ctc="new"), "phase")
    file = REPOSITORY / "params.yaml"
    prepare(trained, params, core_params.load(CommonParams, "train.common", file=file))
    optimizer = torch.optim.SGD(trained.model.parameters(), 0.01)
    trained.model(**trained.training_batch(examples(trained, [1.0, 2.0])))["loss"].backward()
    optimizer.step()
    trained.save(tmp_path / "p100")
    export = make_export(tmp_path / "p100", "float32")
    assert max(exporting.differences(tmp_path / "p100", export).values()) < 1e-4
