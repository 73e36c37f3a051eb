"""Any offline recogniser of sherpa-onnx says what the package says, called by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import CheckpointError, ConfigError
from galgame_asr.runtimes import load as runtimes
from tests import sherpas
from tests.models import noise

sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="extra export")
AUDIOS = [noise(0.2 + number / 4, number) for number in range(6)]
BEAMS = {"decoding_method": "modified_beam_search", "max_active_paths": 3}


def say(directory: Path, recognizer: str, prompt: Prompt, **arguments: Any) -> list[Transcript]:
    options = {"recognizer": recognizer, "files": sherpas.FILES[recognizer], "arguments": arguments}
    recogniser = runtimes.load("sherpa_offline", directory, options=options)
    features = [recogniser.features(audio) for audio in AUDIOS]
    return recogniser.transcribe(features, prompt, Search([99] * len(AUDIOS)))


def by_hand(directory: Path, recognizer: str, **arguments: Any) -> list[str]:
    """One utterance at a time."""
    files = {name: str(directory / file) for name, file in sherpas.FILES[recognizer].items()}
    make = getattr(sherpa_onnx.OfflineRecognizer, f"from_{recognizer}")
    made, texts = make(**files, **arguments), []
    for audio in AUDIOS:
        stream = made.create_stream()
        stream.accept_waveform(16_000, audio)
        made.decode_stream(stream)
        texts.append(stream.result.text)
    return texts


def test_a_recogniser_that_takes_a_language(tmp_path: Path) -> None:
    """SenseVoice: language and kind of text come from the prompt, and change what is said."""
    directory = sherpas.build(tmp_path / "model", "sense_voice")
    prompts = {
        (None, True): {"language": "", "use_itn": True},
        ("ja", True): {"language": "ja", "use_itn": True},
        ("ja", False): {"language": "ja", "use_itn": False},
    }
    found = []
    for (language, itn), arguments in prompts.items():
        said = say(directory, "sense_voice", Prompt(language=language, itn=itn))
        assert [one.text for one in said] == by_hand(directory, "sense_voice", **arguments)
        assert [one.num_tokens for one in said] == [len(one.text) for one in said]
        found.append([one.text for one in said])
    assert found[0] != found[1] != found[2]


def test_a_recogniser_that_takes_none(tmp_path: Path) -> None:
    """A transducer, greedily and with beams: arguments of params reach it."""
    directory = sherpas.build(tmp_path / "model", "transducer")
    found = []
    for arguments in ({}, BEAMS):
        texts = [one.text for one in say(directory, "transducer", Prompt(), **arguments)]
        assert texts == by_hand(directory, "transducer", **arguments)
        assert len(set(texts)) > 4
        found.append(texts)
    assert found[0] != found[1]
    with pytest.raises(ConfigError, match="language 'ja': transducer of sherpa-onnx takes none"):
        say(directory, "transducer", Prompt(language="ja"))
    with pytest.raises(ConfigError, match="hotwords and timestamps: transducer"):
        say(directory, "transducer", Prompt(hotwords=("葵",)))


def test_silence_around_the_audio(tmp_path: Path) -> None:
    """Is heard as if it were in the file; too little audio is an error that tells of it."""
    directory = sherpas.build(tmp_path / "model", "transducer")
    options = {
        "recognizer": "transducer", "files": sherpas.FILES["transducer"], "arguments": {},
    }  # fmt: skip
    padded = runtimes.load("sherpa_offline", directory, options=options | {"padding_s": 0.25})
    plain = runtimes.load("sherpa_offline", directory, options=options)
    silence = np.zeros(4000, np.float32)
    for audio in AUDIOS:
        wide = np.concatenate([silence, audio, silence])
        said = [
            one.transcribe([one.features(heard)], Prompt(), Search([99]))[0].text
            for one, heard in ((padded, audio), (plain, wide), (plain, audio))
        ]
        assert said[0] == said[1] != said[2]
    short = noise(0.03)
    assert padded.transcribe([padded.features(short)], Prompt(), Search([9]))[0].num_tokens
    message = r"transducer of sherpa-onnx cannot decode audio of 0\.03 s .*padding_s, may help"
    with pytest.raises(ConfigError, match=message):
        plain.transcribe([plain.features(short)], Prompt(), Search([9]))


def test_what_sherpa_onnx_does_not_have(tmp_path: Path) -> None:
    """Is named with what it has, before a file is read."""
    directory = sherpas.build(tmp_path / "model", "transducer")
    with pytest.raises(ConfigError, match=r"takes no 'beams'\. Allowed: encoder, decoder, joiner,"):
        say(directory, "transducer", Prompt(), beams=3)
    with pytest.raises(ConfigError, match="takes no 'num_threads'"):
        say(directory, "transducer", Prompt(), num_threads=3)
    options = {"recognizer": "whispr", "files": {}, "arguments": {}}
    with pytest.raises(ConfigError, match=r"no recognizer 'whispr'\. Allowed: .*whisper"):
        runtimes.load("sherpa_offline", directory, options=options)
    (directory / "joiner.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match=r"joiner\.onnx.* cannot be loaded by sherpa-onnx"):
        say(directory, "transducer", Prompt())
    (directory / "joiner.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"model lacks joiner\.onnx"):
        say(directory, "transducer", Prompt())
