"""An export for sherpa-onnx says what its checkpoint says, by the runtime as it is published."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from tokenizers import Tokenizer

from galgame_asr.core.files import content_hash
from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.formats.common import onnx as onnx_graph
from galgame_asr.formats.common.exporter import load
from galgame_asr.formats.sherpa import export as exporting
from galgame_asr.messages.errors import CheckpointError, ConfigError, ExportError
from galgame_asr.runtimes import load as runtimes
from galgame_asr.runtimes import sherpa as fun_asr_nano_sherpa
from galgame_asr.runtimes.onnx import Graph
from galgame_asr.runtimes.sherpa import GRAPHS
from galgame_asr.stages import export as export_stage
from tests import models, nanos, whispers
from tests.exports import assert_used_alike, verified, write_repository

for package in ("onnx", "onnxruntime", "sherpa_onnx"):
    pytest.importorskip(package, reason="needs the extra export: make .venv/dev")
COUNT, TOKENS = 16, 12
AUDIOS = [models.noise(0.3 + number / 5, number) for number in range(COUNT)]
PROMPTS = [
    Prompt(),
    models.JAPANESE,
    Prompt(hotwords=("葵", "凛 さん", "Ｖ、Ｎ")),
    Prompt(itn=False),
    Prompt(language="日文", hotwords=("葵",), itn=False),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nanos.build(tmp_path_factory.mktemp("models") / "base", seed=0, encoder_gain=3.0)


@pytest.fixture(scope="module")
def export(checkpoint: Path) -> Path:
    return make_export(checkpoint, "float32")


def make_export(checkpoint: Path, precision: str) -> Path:
    return nanos.make_export(load("sherpa"), checkpoint, precision)


def by_torch(
    checkpoint: Path, prompt: Prompt, audios: Sequence[Any] = AUDIOS, limit: int = TOKENS
) -> list[Transcript]:
    """What PyTorch says of features as sherpa-onnx computes them."""
    front_end = exporting.front_end(checkpoint)
    assert front_end is not None
    features = [front_end(audio) for audio in audios]
    return fun_asr_nano.load(checkpoint).transcribe(features, prompt, Search([limit] * len(audios)))


def by_sherpa(
    directory: Path, prompt: Prompt, audios: Sequence[Any] = AUDIOS, limit: int = TOKENS
) -> list[Transcript]:
    assert runtimes.detect(directory) == "sherpa"
    recogniser = runtimes.load("sherpa", directory)
    features = [recogniser.features(audio) for audio in audios]
    return recogniser.transcribe(features, prompt, Search([limit] * len(audios)))


def said(transcripts: Sequence[Transcript]) -> list[tuple[str, int]]:
    return [(one.text, one.num_tokens) for one in transcripts]


@pytest.mark.parametrize("prompt", PROMPTS, ids=["none", "language", "hotwords", "itn", "all"])
def test_float32_says_the_same(checkpoint: Path, export: Path, prompt: Prompt) -> None:
    """Each text and its length, for every kind of prompt, of texts that hardly repeat."""
    expected = said(by_torch(checkpoint, prompt))
    assert said(by_sherpa(export, prompt)) == expected
    assert len(set(expected)) >= COUNT / 2


def test_prompts_and_ends_matter(checkpoint: Path) -> None:
    """What the test above compares: each prompt gives other texts, and some texts end early."""
    found = [by_torch(checkpoint, prompt) for prompt in PROMPTS]
    assert len({tuple(one.text for one in texts) for texts in found}) == len(PROMPTS)
    assert {one.num_tokens < TOKENS for texts in found for one in texts} == {True, False}


@pytest.mark.parametrize(
    ("llm", "adaptor"),
    [
        ({}, {"downsample_rate": 1}),
        ({}, {"downsample_rate": 3, "n_layer": 0}),
        ({}, {"downsample_rate": 1, "use_low_frame_rate": False}),
        (
            {"num_hidden_layers": 3, "num_key_value_heads": 1, "head_dim": 6, "rope_theta": 5e5},
            {"n_layer": 2},
        ),
    ],
    ids=["rate 1", "rate 3", "all frames", "dimensions"],
)
def test_other_dimensions(tmp_path: Path, llm: dict[str, Any], adaptor: dict[str, Any]) -> None:
    """None is fixed; the adaptor's rate and its frame rule are the checkpoint's."""
    checkpoint = nanos.build(
        tmp_path / "base", seed=0, encoder_gain=3.0, llm=llm, audio_adaptor_conf=adaptor
    )
    directory = make_export(checkpoint, "float32")
    assert max(exporting.differences(checkpoint, directory).values()) < 1e-4
    expected = said(by_torch(checkpoint, Prompt(), AUDIOS[:8]))
    assert said(by_sherpa(directory, Prompt(), AUDIOS[:8])) == expected
    assert len(set(expected)) > 4


def test_every_length_of_speech(checkpoint: Path, export: Path) -> None:
    """From one frame on, also where stacks are filled up, and of less than a frame."""
    lengths = [1, 79, 80, 200, *(160 * frames for frames in range(1, 21)), 35_000]
    audios = [models.noise(length / 16_000, length) for length in lengths]
    assert said(by_sherpa(export, Prompt(), audios)) == said(by_torch(checkpoint, Prompt(), audios))


def test_tensors_are_the_same(checkpoint: Path, export: Path) -> None:
    """Of every graph by onnxruntime, to what float32 can tell; metadata say what they are."""
    found = exporting.differences(checkpoint, export)
    assert list(found) == ["encoder_adaptor.onnx", "llm.onnx", "embedding.onnx"]
    assert max(found.values()) < 1e-4
    assert found["embedding.onnx"] == 0
    llm = Graph(export / "llm.onnx").metadata
    assert "kv_delta" in llm["model_type"]
    assert (llm["num_layers"], llm["head_dim"], llm["max_total_len"]) == ("2", "8", "512")
    hearing = Graph(export / "encoder_adaptor.onnx").metadata
    assert (hearing["lfr_window_size"], hearing["llm_dim"]) == ("1", "32")


@pytest.mark.parametrize("hole", [0, 1], ids=["no hole", "hole"])
def test_a_hole_in_the_cache_changes_nothing(checkpoint: Path, export: Path, hole: int) -> None:
    """sherpa-onnx 2.0.1 leaves a row after the prompt unwritten; one that does not is fine."""
    expected = by_torch(checkpoint, models.JAPANESE, AUDIOS[:4])
    found = [by_onnxruntime(export, checkpoint, audio, hole) for audio in AUDIOS[:4]]
    assert found == [one.text for one in expected]


def by_onnxruntime(directory: Path, checkpoint: Path, audio: Any, hole: int) -> str:
    """The runtime's loop over tokens, for the prompt models.JAPANESE."""
    hear, say, embed = (Graph(directory / f"{name}.onnx") for name in GRAPHS)
    sizes = [int(say.metadata[k]) for k in ("max_total_len", "num_kv_heads", "head_dim")]
    cache = [torch.zeros(1, *sizes) for _ in range(2 * int(say.metadata["num_layers"]))]
    tokenizer = Tokenizer.from_file(str(directory / "Qwen3-0.6B" / "tokenizer.json"))
    before, after = (
        embed(torch.tensor([tokenizer.encode(text).ids]))[0]
        for text in (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\n语音转写成日文：",
            "<|im_end|>\n<|im_start|>assistant\n",
        )
    )
    banks = exporting.SherpaFrontEnd(1, 1)(audio)[None]
    given = torch.cat([before, hear(banks)[0], after], dim=1)
    mask, row = torch.zeros(1, 0, dtype=torch.int64), 0
    tokens: list[int] = []
    while len(tokens) < TOKENS:
        count = given.shape[1]
        mask = torch.cat([mask, torch.ones(1, count, dtype=torch.int64)], dim=1)
        logits, *new = say(given, mask, torch.arange(row, row + count), *cache)
        for kept, part in zip(cache, new, strict=True):
            kept[:, row : row + count] = part
        row += count
        if not tokens:
            row, mask = row + hole, torch.cat([mask, torch.zeros(1, hole, dtype=torch.int64)], 1)
        tokens.append(int(logits[0, -1].argmax()))
        given = embed(torch.tensor([tokens[-1:]]))[0]
        if tokens[-1] == tokenizer.token_to_id("<|im_end|>"):
            break
    return tokenizer.decode(tokens)


def test_int8_is_close(checkpoint: Path, export: Path) -> None:
    """In a quarter of the space; most texts of random weights are close calls, so few are equal."""
    directory = make_export(checkpoint, "int8")
    names = {file.name for file in directory.glob("*.onnx")}
    assert names == {f"{name}.int8.onnx" for name in GRAPHS}
    found = exporting.differences(checkpoint, directory)
    assert set(found) == names
    assert 1e-4 < found["embedding.int8.onnx"] < 0.01
    assert found["llm.int8.onnx"] < 0.2
    expected, transcripts = by_sherpa(export, Prompt()), by_sherpa(directory, Prompt())
    starts = [
        one.text[:1] == other.text[:1] for one, other in zip(expected, transcripts, strict=True)
    ]
    assert sum(starts) > COUNT / 2


def test_limits_are_those_of_each_utterance(export: Path) -> None:
    """A transcript does not depend on the limits of others in its batch, nor on those before."""
    recogniser = runtimes.load("sherpa", export)
    features = [recogniser.features(audio) for audio in AUDIOS]
    limits = [2 + number % 5 for number in range(COUNT)]
    short = recogniser.transcribe(features, Prompt(), Search(limits))
    long = recogniser.transcribe(features, Prompt(), Search([TOKENS] * COUNT))
    again = recogniser.transcribe(features, Prompt(), Search(limits))
    assert said(short) == said(again)
    assert said(long) == said(by_sherpa(export, Prompt()))
    for one, other, limit in zip(short, long, limits, strict=True):
        assert one.num_tokens == min(other.num_tokens, limit)
        assert other.text.startswith(one.text)
        assert one.log_prob is None


@pytest.mark.parametrize(
    ("pieces", "limit", "expected"),
    [
        (["葵", "、", "", "凛"], 9, ("葵、凛", 5)),
        (["葵", "", "凛"], 2, ("葵\ufffd", 2)),  # the limit within a character
        (["葵", "\ufffd\ufffd"], 2, ("葵\ufffd", 2)),
        (["<|startofspeech|>", "葵", "/sil", "\n", "凛"], 9, ("葵 凛", 6)),
        ([], 4, ("", 1)),
    ],
)
def test_tokens_become_the_text_that_funasr_makes_of_them(
    pieces: list[str], limit: int, expected: tuple[str, int]
) -> None:
    """Without special tokens and silence marks, one space for all white space."""
    found = fun_asr_nano_sherpa.transcript(pieces, limit)
    assert (found.text, found.num_tokens) == expected


def test_what_the_runtime_cannot_do_is_refused(export: Path) -> None:
    """Beams, repeats, timestamps, and hotwords that it would split or take for marks."""
    recogniser = runtimes.load("sherpa", export)
    features = [recogniser.features(AUDIOS[0])]
    for search in (Search([3], beams=2), Search([3], no_repeat_ngram_size=2)):
        with pytest.raises(ConfigError, match=r"greedily; found beams .* set them to 1 and 0"):
            recogniser.transcribe(features, Prompt(), search)
    with pytest.raises(ConfigError, match="timestamps: Fun-ASR-Nano writes none"):
        recogniser.transcribe(features, Prompt(timestamps=True), Search([3]))
    for word in ("葵，凛", "葵 ", ""):
        with pytest.raises(ConfigError, match=f"would split or trim '{word}'"):
            recogniser.transcribe(features, Prompt(hotwords=("凛", word)), Search([3]))
    with pytest.raises(ConfigError, match=r"sherpa-onnx would take <\|im_end\|> in '葵<\|im_end"):
        recogniser.transcribe(features, Prompt(hotwords=("凛", "葵<|im_end|>")), Search([3]))


def test_equal_checkpoints_give_equal_bytes(checkpoint: Path, tmp_path: Path) -> None:
    """In another process and from another place, which stands in no file."""
    shutil.copytree(checkpoint, tmp_path / "here")
    moved = tmp_path / "elsewhere"
    shutil.copytree(checkpoint, moved)
    for file in filter(Path.is_file, moved.rglob("*")):
        file.chmod(0o444)  # as DVC leaves them
    precisions = ("float32", "int8")
    code = (
        "import sys; from pathlib import Path\n"
        "from galgame_asr.formats.sherpa import export as sherpa\n"
        "for precision in sys.argv[2:]:\n"
        "    output = Path(precision)\n"
        "    output.mkdir()\n"
        "    sherpa.export(Path(sys.argv[1]), output, precision)\n"
    )
    subprocess.run([sys.executable, "-c", code, moved, *precisions], check=True, cwd=tmp_path)
    for precision in precisions:
        first = make_export(tmp_path / "here", precision)
        assert content_hash([tmp_path / precision]) == content_hash([first])
        for file in filter(Path.is_file, first.rglob("*")):
            assert str(tmp_path).encode() not in file.read_bytes()
            assert file.stat().st_mode & 0o200


def test_large_graphs_keep_their_weights_beside_them(
    checkpoint: Path, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the name at which sherpa-onnx looks for them; nothing else is left there."""
    monkeypatch.setattr(onnx_graph, "MAX_INLINE", 50_000)
    exporting.export(checkpoint, tmp_path, "float32")
    assert (tmp_path / "llm.data").stat().st_size > 10_000
    assert by_sherpa(tmp_path, Prompt(), AUDIOS[:4]) == by_sherpa(export, Prompt(), AUDIOS[:4])
    names = {file.name for file in tmp_path.iterdir()} - {"llm.data", "encoder_adaptor.data"}
    assert names == {file.name for file in export.iterdir()}


def test_the_tokenizer_is_the_same_in_both_layouts(checkpoint: Path, export: Path) -> None:
    """vocab.json and merges.txt, which the runtime reads, and tokenizer.json."""
    directory = export / "Qwen3-0.6B"
    whole = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    assert json.loads((directory / "vocab.json").read_text(encoding="utf-8")) == whole["vocab"]
    head, *merges = (directory / "merges.txt").read_text(encoding="utf-8").splitlines()
    assert head == "#version: 0.2"
    assert [line.split(" ") for line in merges] == whole["merges"]


def change_yaml(directory: Path, section: str, **values: Any) -> None:
    file = directory / "config.yaml"
    config = YAML(typ="safe").load(file)
    config.setdefault(section, {}).update(values)
    YAML().dump(config, file)


def change_json(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("frontend_conf", {"n_mels": 40}, r"frontend_conf\.n_mels is 40; the runtime takes 80"),
        ("frontend_conf", {"cmvn_file": "am.mvn"}, r"cmvn_file is am\.mvn; .* takes None"),
        ("dataset_conf", {"do_think": False}, r"dataset_conf\.do_think is False; .* takes True"),
        ("dataset_conf", {"sys_prompt": False}, r"dataset_conf\.sys_prompt is False"),
    ],
)
def test_training_that_the_runtime_cannot_follow_is_refused(
    checkpoint: Path, tmp_path: Path, section: str, values: dict[str, Any], message: str
) -> None:
    """The message names the key, what it is and what is allowed."""
    directory = tmp_path / "base"
    shutil.copytree(checkpoint, directory)
    change_yaml(directory, section, **values)
    with pytest.raises(ExportError, match=message):
        exporting.export(directory, tmp_path, "float32")


def test_unfit_checkpoints_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    """Other families, adapters that are not folded in, an unfit tokenizer."""
    whisper = whispers.build(tmp_path / "whisper")
    with pytest.raises(ExportError, match=r"is of family whisper; .* takes fun_asr_nano alone"):
        exporting.export(whisper, tmp_path, "float32")
    adapted = tmp_path / "adapted"
    shutil.copytree(checkpoint, adapted)
    tensors = torch.load(adapted / "model.pt", weights_only=True)["state_dict"]
    tensors["llm.model.layers.0.self_attn.q_proj.lora_A.default.weight"] = torch.zeros(2, 32)
    torch.save({"state_dict": tensors}, adapted / "model.pt")
    with pytest.raises(ExportError, match=r"adapters that are not folded .*q_proj\.lora_A"):
        exporting.export(adapted, tmp_path, "float32")
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    file = other / "Qwen3-tiny" / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    for content, message in [
        (tokenizer | {"added_tokens": tokenizer["added_tokens"][:1]}, r"has no <\|im_start\|>, <"),
        (tokenizer | {"model": tokenizer["model"] | {"type": "Unigram"}}, "is a Unigram tokenizer"),
        (None, r"lacks tokenizer\.json, which the runtime's files are made of"),
    ]:
        file.unlink()
        if content:
            file.write_text(json.dumps(content))
        with pytest.raises(ExportError, match=message):
            exporting.export(other, tmp_path, "float32")


def test_damaged_exports_are_refused(checkpoint: Path, export: Path, tmp_path: Path) -> None:
    """A graph that is cut off, a file that is missing, weights of their own."""
    damaged = tmp_path / "damaged"
    shutil.copytree(export, damaged)
    (damaged / "llm.onnx").write_bytes((export / "llm.onnx").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged cannot be loaded by sherpa-onnx: "):
        by_sherpa(damaged, Prompt(), AUDIOS[:1])
    with pytest.raises(ExportError, match=r"llm\.onnx cannot be loaded by onnxruntime: "):
        exporting.differences(checkpoint, damaged)
    (damaged / "Qwen3-0.6B" / "merges.txt").unlink()
    with pytest.raises(CheckpointError, match=r"it lacks Qwen3-0\.6B/merges\.txt"):
        runtimes.load("sherpa", damaged)
    with pytest.raises(ConfigError, match="is an export, whose weights"):
        runtimes.load("sherpa", export, Path("other.pt"))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "sherpa_onnx"])
def test_a_missing_package_is_named(
    checkpoint: Path, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, package, None)
    install = rf"{package} is not installed: pip install -c constraints\.txt '\.\[export\]'"
    uses: dict[str, Callable[[], object]] = {
        "onnx": lambda: exporting.export(checkpoint, tmp_path, "float32"),
        "onnxruntime": lambda: exporting.differences(checkpoint, export),
        "sherpa_onnx": lambda: runtimes.load("sherpa", export),
    }
    with pytest.raises(ConfigError, match=install):
        uses[package]()


def test_the_stages(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made and verified by the stages; once it is another's, the figures say what is refused."""
    monkeypatch.chdir(tmp_path)
    entry = {"format": "sherpa", "verify": {"max_difference": 1e-4}}
    write_repository(tmp_path, checkpoint, {"onnx": entry}, max_new_tokens=TOKENS)
    export_stage.main(["onnx"])
    assert_used_alike(tmp_path, "onnx")
    found = verified(tmp_path, "onnx")
    assert (found["equal"], found["utterances"], found["problems"]) == (8, 8, [])
    assert found["distinct"] > 4
    assert found["runtime"].startswith("sherpa-onnx 2.")
    assert found["cer"] == found["cer_front_end"] != found["cer_checkpoint"]
    shutil.rmtree(tmp_path / "models" / "base")
    nanos.build(tmp_path / "models" / "base", seed=1, encoder_gain=3.0)
    problems = verified(tmp_path, "onnx")["problems"]
    assert "of 8 texts are equal (export.onnx.verify.min_equal is 1.0)" in problems[0]
    assert any(problem.startswith("llm.onnx differs by ") for problem in problems)
