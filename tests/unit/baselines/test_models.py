"""Other people's models decode the sets as their own libraries do, and their files are checked."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from transformers import WhisperForConditionalGeneration

from galgame_asr.cli import dispatch
from galgame_asr.core.params import load
from galgame_asr.core.paths import DECODED, RAW
from galgame_asr.core.reader import ShardReader
from galgame_asr.decoding import transcripts
from galgame_asr.decoding.params import DecodeParams, SearchParams
from galgame_asr.decoding.transcribe import Task, transcribe_sets
from galgame_asr.decoding.transcripts import keys
from galgame_asr.families.common.params import ComputeParams, Prompt
from galgame_asr.formats.ctranslate2 import export as ctranslate2
from galgame_asr.messages.errors import CheckpointError, ConfigError, DataError
from tests import funasrs, models, qwens, sherpas, whispers
from tests.conftest import REPOSITORY
from tests.recordings import RATE_HZ, speak
from tests.servers import serving
from tests.unit.baselines.conftest import Run

PROMPTS: dict[str, Any] = {"japanese": {"language": "ja"}, "none": {}}
SHORT = {"max_new_tokens": 12}
SENSE_VOICE = "sense_voice"


def audios(run: Run) -> dict[str, "np.ndarray[Any, np.dtype[np.float32]]"]:
    """The samples of every utterance by CORPUS/ID."""
    reader = ShardReader(RAW)
    return {
        key: reader.read_row(row)
        for rows in run.sets.values()
        for key, row in zip(keys(rows), rows.to_dict("records"), strict=True)
    }


def by_key(decoded: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Texts of all sets by CORPUS/ID."""
    return {key: said.text for by_id in decoded.values() for key, said in by_id.items()}


def test_whisper_says_what_transformers_says(run: Run) -> None:
    """With each of its prompts, and the settings of its makers; rows of the report."""
    directory = str(whispers.build(Path("theirs")))
    search = SHORT | {"no_repeat_ngram_size": 2}
    entry = {"kind": "transformers", "model": {"directory": directory}, "prompts": PROMPTS}
    found = run.decode("theirs-w", entry | {"search": search})
    assert list(found) == ["japanese", "none"]
    model, tokenizer, extractor = whispers.load(Path(directory))
    assert isinstance(model, WhisperForConditionalGeneration)
    said = by_key(found["japanese"])
    for key, audio in audios(run).items():
        features = extractor(audio, sampling_rate=16_000, return_tensors="pt").input_features
        expected = model.generate(
            features, language="ja", task="transcribe", max_new_tokens=12, do_sample=False,
            no_repeat_ngram_size=2,
        )  # fmt: skip
        assert said[key] == tokenizer.decode(expected[0], skip_special_tokens=True).strip()
    text = run.report()
    rows = [line for line in text.splitlines() if line.startswith("| theirs-w |")]
    assert [row.split(" | ")[1] for row in rows[:2]] == ["japanese", "none"]
    # Each against the newest checkpoint with a prompt of the same name; then among themselves.
    assert "| theirs-w · none | theirs-w · japanese |" in text
    assert not list(Path(".scratch/baselines").iterdir())


def test_qwen3_asr_hears_the_names_of_its_prompt(run: Run) -> None:
    """Hotwords are its context, and another text comes of it."""
    directory = str(qwens.build(Path("theirs")))
    prompts = {"plain": {"language": "ja"}, "names": {"language": "ja", "hotwords": ["葵", "凛"]}}
    entry = {"kind": "transformers", "model": {"directory": directory}, "prompts": prompts}
    found = run.decode("qwen", entry | {"search": SHORT})
    assert set(by_key(found["plain"])) == set(audios(run))
    assert by_key(found["plain"]) != by_key(found["names"])


def test_sherpa_onnx_decodes_its_models(run: Run) -> None:
    """With files and arguments by their names."""
    pytest.importorskip("sherpa_onnx", reason="extra export")
    directory = str(sherpas.build(Path("theirs"), "transducer"))
    entry = {
        "kind": "sherpa", "model": {"directory": directory}, "recognizer": "transducer",
        "files": sherpas.FILES["transducer"],
    }  # fmt: skip
    greedy = by_key(run.decode("greedy", entry)["none"])
    beams = entry | {"arguments": {"decoding_method": "modified_beam_search"}}
    assert len(set(greedy.values())) > 5
    assert by_key(run.decode("beams", beams)["none"]) != greedy


def test_funasr_decodes_its_models(run: Run) -> None:
    """Fun-ASR-Nano with its prompts and search, others without."""
    theirs = {"kind": "funasr", "model": {"directory": str(models.build(Path("nano")))}}
    prompts = {"japanese": {"language": "日文"}, "names": {"language": "日文", "hotwords": ["葵"]}}
    found = run.decode("nano", theirs | {"prompts": prompts, "search": SHORT})
    own = Task("fun_asr_nano", Path("nano"), RAW, Prompt(language="日文"), *_settings())
    assert found["japanese"] == {
        name: {key: replace(one, log_prob=None) for key, one in by_id.items()}
        for name, by_id in transcribe_sets(run.sets, own).items()
    }
    with pytest.raises(ConfigError, match=r"baselines\.nano\.arguments: those of Fun-ASR-Nano"):
        run.decode("nano", theirs | {"arguments": {"ban_emo_unk": True}})
    theirs = {"kind": "funasr", "model": {"directory": str(funasrs.build(Path("sv"), SENSE_VOICE))}}
    voice = run.decode("voice", theirs | {"prompts": {"japanese": {"language": "ja"}}})
    assert set(by_key(voice["japanese"])) == set(audios(run))
    assert "".join(by_key(voice["japanese"]).values())


def _settings() -> tuple[SearchParams, ComputeParams, int]:
    search = replace(load(DecodeParams, "decode"), max_new_tokens=SHORT["max_new_tokens"])
    return search, load(ComputeParams, "compute"), 300


def test_a_model_comes_from_the_hub(run: Run) -> None:
    """At its revision, without files that nobody asked for, locked; and again without a network."""
    checkpoint, revision = whispers.build(Path("theirs")), "a" * 40
    wanted = ["*.json", "model.safetensors"]
    files = {"repo": "me/theirs", "revision": revision, "files": wanted}
    entry = {"kind": "transformers", "model": {"hub": files}, "search": SHORT}
    run.edit(lambda values: values["baselines"].update(theirs=entry))
    said = []
    with serving(hub=True) as hub:
        hub.files = {f"me/theirs/{f.name}": f.read_bytes() for f in checkpoint.iterdir()}
        hub.files["me/theirs/pytorch_model.bin"] = b"\0" * 1000
        said.append(_stage("theirs", hub.url))
        assert not any("pytorch_model" in path for path, _ in hub.requests)
    said.append(_stage("theirs", "http://127.0.0.1:9"))
    assert said[0] == said[1]
    lock = Path("sources/me--theirs.tsv").read_text().splitlines()
    assert lock[0] == f"# model me/theirs at {revision}"
    assert {"config.json", "model.safetensors"} < {line.split("\t")[0] for line in lock[2:]}
    by_directory = entry | {"model": {"directory": str(checkpoint)}}
    assert run.decode("mine", by_directory)["none"] == transcripts.read(said_file("theirs"))


def said_file(name: str) -> Path:
    return DECODED / name / "none.jsonl"


def _stage(name: str, endpoint: str) -> bytes:
    """Run the stage with a hub of that address; what it wrote."""
    command = [sys.executable, "-m", "galgame_asr.stages.baseline", name]
    environment = os.environ | {"HF_ENDPOINT": endpoint, "PYTHONPATH": str(REPOSITORY / "src")}
    subprocess.run(command, env=environment, check=True)
    return said_file(name).read_bytes()


def test_other_commands_take_qwen3_asr_too(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Its directory says what it is: `evaluate` gives the baseline's texts, `transcribe` any."""
    directory = str(qwens.build(Path("theirs")))
    run.edit(lambda values: values["decode"].update(max_new_tokens=SHORT["max_new_tokens"]))
    dispatch(["evaluate", directory, "--set", "test", "--prompt", "none", "--output", "out"])
    model = {"kind": "transformers", "model": {"directory": directory}, "search": SHORT}
    baseline = run.decode("qwen", model)["none"]
    assert transcripts.read(Path("out/none.jsonl"))["test"] == baseline["test"]
    sf.write("a.wav", speak("えへへ、先輩はずるいね。"), RATE_HZ)
    capsys.readouterr()
    dispatch(["transcribe", "a.wav", "--model", directory])
    assert capsys.readouterr().out.strip()


def test_another_family_is_refused(run: Run) -> None:
    """As is a directory that is none."""
    directory = str(models.build(Path("nano")))
    with pytest.raises(CheckpointError, match=r"baselines\.x is of family fun_asr_nano; kind tran"):
        run.decode("x", {"kind": "transformers", "model": {"directory": directory}})
    with pytest.raises(CheckpointError, match="nowhere is no directory"):
        run.decode("x", {"kind": "transformers", "model": {"directory": "nowhere"}})
    assert not Path("data/decoded/x").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({}, "found none"),
        ({"directory": "a", "packaged": {"packages": ["a"], "sha256": {}}}, "found directory and"),
        ({"hub": {"repo": "a/b", "revision": "main", "files": ["*"]}}, "revision is 'main'"),
        ({"hub": {"repo": "a/b", "revision": "0" * 40}}, "hub.files is missing"),
    ],
)
def test_a_model_has_one_place(run: Run, model: dict[str, Any], message: str) -> None:
    """And a revision that cannot change."""
    with pytest.raises(ConfigError, match=message):
        run.decode("x", {"kind": "faster_whisper", "model": model})


def install(package: str, files: dict[str, bytes]) -> None:
    """What an installer leaves of a wheel, in folder `site`."""
    module, root = package.replace("-", "_"), Path("site")
    record = []
    for name, content in files.items():
        path = root / module / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        record.append(f"{module}/data/{name},,")
    info = root / f"{module}-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\n")
    (info / "RECORD").write_text("\n".join(record) + "\n")


def test_a_model_comes_out_of_packages(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts that are joined, without what old conversions lack; a wrong one is refused."""
    faster_whisper = pytest.importorskip("faster_whisper", reason="extra whisper")
    checkpoint, converted = whispers.build(Path("theirs")), Path("converted")
    converted.mkdir()
    ctranslate2.export(checkpoint, converted, "float32")
    weights = (converted / "model.bin").read_bytes()
    half = len(weights) // 2
    others = ("config.json", "tokenizer.json", "vocabulary.json")
    first = {name: (converted / name).read_bytes() for name in others}
    install("theirs-part1", first | {"model.bin.part1": weights[:half]})
    install("theirs-part2", {"model.bin.part2": weights[half:]})
    packaged: dict[str, Any] = {
        "packages": ["theirs-part2", "theirs-part1"],
        "sha256": {"model.bin": hashlib.sha256(weights).hexdigest()},
    }
    entry = {"kind": "faster_whisper", "model": {"packaged": packaged}, "search": SHORT}
    entry["prompts"] = {"japanese": {"language": "ja"}}
    with pytest.raises(ConfigError, match="package theirs-part2 is not installed: pip install"):
        run.decode("theirs", entry)
    monkeypatch.setattr(sys, "path", [*sys.path, "site"])
    said = by_key(run.decode("theirs", entry)["japanese"])
    own = faster_whisper.WhisperModel(str(converted), device="cpu", compute_type="float32")
    for key, audio in audios(run).items():
        # It pads features by 0, where training padded audio: so audio is given padded.
        segments, _ = own.transcribe(
            np.pad(audio, (0, 480_000 - len(audio))), language="ja", beam_size=1, temperature=0.0,
            condition_on_previous_text=False, without_timestamps=True,
            no_speech_threshold=None, log_prob_threshold=None, compression_ratio_threshold=None,
        )  # fmt: skip
        text = "".join(segment.text for segment in segments).strip()
        assert said[key]
        assert text.startswith(said[key])  # it counts tokens from another place
    assert len(set(said.values())) > 5
    packaged["sha256"]["model.bin"] = "0" * 64
    with pytest.raises(DataError, match=r"model.bin of theirs-part2, theirs-part1 has SHA-256"):
        run.decode("theirs", entry)
    packaged["sha256"] = {"other.bin": "0" * 64}
    with pytest.raises(DataError, match=r"theirs-part2, theirs-part1 have no file other\.bin"):
        run.decode("theirs", entry)
