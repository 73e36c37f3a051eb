"""An export for CTranslate2 says what its checkpoint says, and goes where faster-whisper reads."""

import copy
import dataclasses
import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationMixin

from galgame_asr.core.files import content_hash
from galgame_asr.decoding import transcripts
from galgame_asr.families.common import defaults
from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.formats.ctranslate2 import export as exporting
from galgame_asr.messages.errors import CheckpointError, ConfigError, ExportError
from galgame_asr.runtimes import load as runtimes
from galgame_asr.runtimes.ctranslate2 import WhisperCt2
from galgame_asr.stages import decode
from galgame_asr.stages import export as export_stage
from tests import models, whispers
from tests.conftest import REPOSITORY
from tests.exports import assert_used_alike, verified, write_repository

ctranslate2 = pytest.importorskip("ctranslate2", reason="needs the extra whisper: make .venv/dev")
PARAMS = REPOSITORY / "params.yaml"
JAPANESE = Prompt(language="ja")
COUNT, TOKENS = 20, 16
HALF = (TOKENS,) * 10
AUDIOS = [models.noise(0.5 + number / 8, number) for number in range(COUNT)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whispers.build(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def export(checkpoint: Path) -> Path:
    return make_export(checkpoint, "float32")


def make_export(checkpoint: Path, precision: str) -> Path:
    directory = checkpoint.with_name(f"ct2-{precision}")
    directory.mkdir()
    exporting.export(checkpoint, directory, precision)
    return directory


def decoder(directory: Path) -> WhisperCt2:
    assert runtimes.detect(directory) == "ctranslate2"
    found = runtimes.load("ctranslate2", directory)
    assert isinstance(found, WhisperCt2)
    return found


def say(
    directory: Path,
    prompt: Prompt = JAPANESE,
    limits: Sequence[int] = (TOKENS,) * COUNT,
    **more: int,
) -> list[Transcript]:
    recogniser = decoder(directory)
    features = [recogniser.features(audio) for audio in AUDIOS[: len(limits)]]
    return recogniser.transcribe(features, prompt, Search(limits, **more))


@pytest.fixture(scope="module")
def expected(checkpoint: Path) -> list[Transcript]:
    return by_transformers(checkpoint)


def by_transformers(
    checkpoint: Path, *, earlier: Sequence[int] = (), count: int = COUNT, **more: int
) -> list[Transcript]:
    """What transformers says by its own search, about audio that is padded before its features."""
    model, tokenizer, extractor = whispers.load(checkpoint)
    padded = [np.pad(audio, (0, 480_000 - len(audio))) for audio in AUDIOS[:count]]
    features = extractor(padded, sampling_rate=16_000, return_tensors="pt").input_features
    names = ["<|startoftranscript|>", "<|ja|>", "<|transcribe|>", "<|notimestamps|>"]
    given = [*earlier, *map(tokenizer.convert_tokens_to_ids, names)]
    config = copy.deepcopy(model.generation_config)
    config.update(max_length=None, max_new_tokens=TOKENS, return_dict_in_generate=True)
    config.update(output_scores=True, **more)
    with torch.no_grad():
        found: Any = GenerationMixin.generate(
            model,
            input_features=features,
            decoder_input_ids=torch.tensor([given] * count),
            generation_config=config,
        )
    scores = model.compute_transition_scores(
        found.sequences, found.scores, found.get("beam_indices"), normalize_logits=True
    )
    said = []
    for row, probabilities in zip(found.sequences[:, len(given) :].tolist(), scores, strict=True):
        length = next(
            (n for n, token in enumerate(row, 1) if token == config.eos_token_id), len(row)
        )
        text = tokenizer.decode(row[:length], skip_special_tokens=True).strip()
        said.append(Transcript(text, length, float(probabilities[:length].sum())))
    return said


def equal(found: Sequence[Transcript], expected: Sequence[Transcript]) -> int:
    return sum(one.text == other.text for one, other in zip(found, expected, strict=True))


def test_float32_says_the_same(export: Path, expected: list[Transcript]) -> None:
    """Text, length and probability, of texts that hardly repeat and of which some end early."""
    found = say(export)
    assert equal(found, expected) == COUNT
    assert len({one.text for one in expected}) > COUNT / 2
    assert {one.num_tokens < TOKENS for one in expected} == {True, False}
    for one, other in zip(found, expected, strict=True):
        assert one.num_tokens == other.num_tokens
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-2)


def test_smaller_precisions_are_close(
    checkpoint: Path, export: Path, expected: list[Transcript], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In less space, with many equal texts: choices of a model with random weights are close.

    The weights of int8 are read as float32 ones: CPUs without VNNI multiply int8 less exactly, so
    that of such choices some have only one in twenty left.
    """
    size = (export / "model.bin").stat().st_size
    for precision in "float16", "int8":
        smaller = make_export(checkpoint, precision)
        assert (smaller / "model.bin").stat().st_size < 0.6 * size
    assert equal(say(export.with_name("ct2-float16")), expected) >= COUNT - 2
    models = ctranslate2.models
    monkeypatch.setattr(
        models, "Whisper", functools.partial(models.Whisper, compute_type="float32")
    )
    assert 6 <= equal(say(export.with_name("ct2-int8")), expected) < COUNT


def test_hotwords_and_beams(checkpoint: Path, export: Path, expected: list[Transcript]) -> None:
    """What is said before the text, and how it is searched for, as in transformers."""
    _, tokenizer, _ = whispers.load(checkpoint)
    words = tokenizer.encode(" 葵、凛", add_special_tokens=False)
    earlier = [tokenizer.convert_tokens_to_ids("<|startofprev|>"), *words]
    found = say(export, dataclasses.replace(JAPANESE, hotwords=("葵", "凛")), HALF)
    assert equal(found, by_transformers(checkpoint, earlier=earlier, count=10)) == 10
    assert equal(found, expected[:10]) < 10


def test_beams_and_repeats(checkpoint: Path, export: Path) -> None:
    """As probable as what transformers finds, which stops at another hypothesis now and then."""
    found, others = (
        say(export, limits=HALF, beams=2),
        by_transformers(checkpoint, count=10, num_beams=2),
    )
    same = [
        (one, other) for one, other in zip(found, others, strict=True) if one.text == other.text
    ]
    assert len(same) >= 5
    for one, other in same:
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-2)
    for one in say(export, limits=HALF, no_repeat_ngram_size=1):
        assert len(set(one.text)) == len(one.text)


def test_limits_are_those_of_each_utterance(export: Path, expected: list[Transcript]) -> None:
    """A transcript does not depend on the limits of others in its batch."""
    limits = [3 + number % 5 for number in range(COUNT)]
    for number, one in enumerate(say(export, limits=limits)):
        assert one.num_tokens == min(expected[number].num_tokens, limits[number])
        assert expected[number].text.startswith(one.text.rstrip("\ufffd"))
        if expected[number].num_tokens <= limits[number]:
            assert one.log_prob == pytest.approx(expected[number].log_prob, abs=1e-2)
        else:
            assert 0 > models.log_prob([one]) > models.log_prob([expected[number]])


def test_a_language_is_detected_for_each(export: Path) -> None:
    """Where the prompt names none; a language that the model does not know is an error."""
    found = say(export, Prompt(), HALF[:4])
    spoken = [say(export, Prompt(language=code), HALF[:4]) for code in whispers.LANGUAGES]
    for number, one in enumerate(found):
        assert one.text in {texts[number].text for texts in spoken}
    with pytest.raises(ConfigError, match="language '日文' is none that this Whisper knows"):
        say(export, Prompt(language="日文"))


def test_faster_whisper_loads_it(export: Path, expected: list[Transcript]) -> None:
    """And says the same about audio that is padded to 30 s, by its own front end."""
    faster_whisper = pytest.importorskip(
        "faster_whisper", reason="needs the extra whisper: make .venv/dev"
    )
    model = faster_whisper.WhisperModel(
        str(export), device="cpu", compute_type="float32", cpu_threads=1, local_files_only=True
    )
    assert model.model.is_multilingual
    for audio, other in zip(AUDIOS[::2], expected[::2], strict=True):
        segments, _ = model.transcribe(
            np.pad(audio, (0, 480_000 - len(audio))), language="ja", beam_size=1, temperature=0.0,
            without_timestamps=True, condition_on_previous_text=False, suppress_tokens=[0],
            no_speech_threshold=None, log_prob_threshold=None, compression_ratio_threshold=None,
        )  # fmt: skip
        text = "".join(segment.text for segment in segments).strip()
        # Its limit is another.
        assert text == other.text or (other.num_tokens == TOKENS and text.startswith(other.text))


def test_equal_checkpoints_give_equal_bytes(checkpoint: Path, export: Path, tmp_path: Path) -> None:
    """In another process and from another place, which stands in no file."""
    moved = tmp_path / "elsewhere"
    shutil.copytree(checkpoint, moved)
    for file in moved.iterdir():
        file.chmod(0o444)  # as DVC leaves them
    code = (
        "import sys; from pathlib import Path\n"
        "from galgame_asr.formats.ctranslate2 import export as ctranslate2\n"
        "ctranslate2.export(Path(sys.argv[1]), Path(sys.argv[2]), 'float32')"
    )
    (tmp_path / "out").mkdir()
    subprocess.run([sys.executable, "-c", code, moved, tmp_path / "out"], check=True)
    assert content_hash([tmp_path / "out"]) == content_hash([export])
    for file in export.iterdir():
        assert str(checkpoint.parent).encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o200


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("preprocessor_config.json", None, "lacks preprocessor_config.json; save its model"),
        ("generation_config.json", {"lang_to_id": None}, "has no lang_to_id"),
        ("config.json", {"max_source_positions": 500}, "max_source_positions is 500; faster-wh"),
        ("config.json", {"max_target_positions": 99}, "max_target_positions is 99; faster-whisp"),
        ("generation_config.json", "{はい", "generation_config.json cannot be read"),
    ],
)
def test_what_the_runtime_would_get_wrong_is_refused(
    checkpoint: Path, tmp_path: Path, file: str, change: dict[str, Any] | str | None, message: str
) -> None:
    """Before anything is written; also an unfit tokenizer."""
    directory = tmp_path / "base"
    shutil.copytree(checkpoint, directory)
    path = directory / file
    if change is None:
        path.unlink()
    elif isinstance(change, str):
        path.write_text(change, encoding="cp932")
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ExportError, match=message):
        exporting.export(directory, tmp_path, "float32")


def test_other_models_are_refused(checkpoint: Path, export: Path, tmp_path: Path) -> None:
    """Other families, a tokenizer for English alone, an export that is not whole."""
    nano = models.build(tmp_path / "nano")
    with pytest.raises(
        ExportError, match=r"nano is of family fun_asr_nano; .* takes whisper alone"
    ):
        exporting.export(nano, tmp_path, "float32")
    english = whispers.build(tmp_path / "english", multilingual=False)
    with pytest.raises(ExportError, match="has no empty token, so CTranslate2 would take"):
        exporting.export(english, tmp_path, "float32")
    damaged = tmp_path / "damaged"
    shutil.copytree(export, damaged)
    (damaged / "model.bin").write_bytes((export / "model.bin").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be loaded by CTranslate2"):
        say(damaged)
    (damaged / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"lacks preprocessor_config\.json"):
        runtimes.load("ctranslate2", damaged)
    with pytest.raises(ConfigError, match="is an export, whose weights"):
        runtimes.load("ctranslate2", export, Path("other.bin"))


def test_a_missing_package_is_named(
    checkpoint: Path, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it."""
    for module in ("ctranslate2", "ctranslate2.converters"):
        monkeypatch.setitem(sys.modules, module, None)
    install = r"ctranslate2.* is not installed: pip install -c constraints\.txt '\.\[whisper\]'"
    with pytest.raises(ConfigError, match=install):
        runtimes.load("ctranslate2", export)
    with pytest.raises(ConfigError, match=install):
        exporting.export(checkpoint, tmp_path, "float32")


@pytest.fixture
def repository(
    checkpoint: Path, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """What the stages read: ten utterances, the checkpoint, and params that name two exports."""
    monkeypatch.chdir(tmp_path)
    entries = {"ct2": {"format": "ctranslate2"}}
    write_repository(tmp_path, checkpoint, entries, max_new_tokens=TOKENS, language="ja")
    shutil.copytree(export, tmp_path / "models" / "export" / "ct2")
    defaults.copy(tmp_path / "models" / "base", tmp_path / "models" / "export" / "ct2")
    return tmp_path


def test_an_export_is_one_more_checkpoint(repository: Path) -> None:
    """Made, verified and decoded by the stages; the figures stand in metrics/."""
    before = content_hash([repository / "models" / "export" / "ct2"])
    export_stage.main(["ct2"])
    assert_used_alike(repository, "ct2")
    assert content_hash([repository / "models" / "export" / "ct2"]) == before
    found = verified(repository, "ct2")
    # The runtime's probabilities are among the tokens that are not suppressed.
    assert found.pop("log_prob_difference") < 0.1
    cers = {found.pop(f"cer{of}") for of in ("", "_front_end", "_checkpoint")}
    assert len(cers) == 1
    assert cers.pop() > 0.5
    assert found.pop("runtime").startswith("ctranslate2 4.")
    assert found.pop("size_mb") <= found.pop("size_mb_checkpoint") < 1
    assert found.pop("distinct") > 4
    assert found == {
        "checkpoint": "base", "format": "ctranslate2", "precision": "float32",
        "utterances": 8, "equal": 8, "differences": {}, "by_command": None, "problems": [],
    }  # fmt: skip
    said = []
    for name in ("base", "export/ct2"):
        decode.main([name, "japanese", "data/decoded/one.jsonl"])
        said.append(transcripts.read(repository / "data" / "decoded" / "one.jsonl")["test"])
    assert {key: one.text for key, one in said[0].items()} == {
        key: one.text for key, one in said[1].items()
    }
    assert len(said[1]) == 10


def test_an_export_that_says_something_else_is_refused(
    repository: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning names utterances with both texts, and what to do; the figures have the reasons."""
    other = whispers.build(tmp_path / "other", seed=1)
    directory = repository / "models" / "export" / "ct2"
    shutil.rmtree(directory)
    directory.mkdir()
    exporting.export(other, directory, "float32")
    found = verified(repository, "ct2")
    (warning,) = [one for one in caplog.records if one.levelname == "WARNING"]
    first, *lines = warning.getMessage().splitlines()
    assert "models/export/ct2 does not say what models/base says: 0 of 8 texts are equal" in first
    assert found["problems"][0] == "0 of 8 texts are equal (export.ct2.verify.min_equal is 1.0)"
    assert found["problems"][0] in first
    assert "Choose a higher precision, or lower the gate" in first
    assert len(lines) == 5
    assert all(" became '" in line and line.startswith("  vn/u") for line in lines)
