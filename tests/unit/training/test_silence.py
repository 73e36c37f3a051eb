"""Music and noise train to an empty text, where the model can say nothing."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from galgame_asr.families.common import family as families
from galgame_asr.families.common.family import Family, Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.whisper.network import GENERATION
from galgame_asr.messages.errors import ConfigError
from galgame_asr.training.dataset import refuse_silence
from galgame_asr.training.params import TrainingParams
from tests.models import JAPANESE, WHISPER_JAPANESE, build, build_whisper, examples

ROWS = pd.DataFrame({"flags": [[], ["not_speech"]]})


def params(*prompts: Prompt) -> TrainingParams:
    return TrainingParams(freeze={}, lr=1e-3, epochs=1, mix={"vn": 1.0}, prompts=prompts)


def silent_whisper(directory: Path) -> Path:
    """Whisper that may end a text before it begins."""
    build_whisper(directory)
    file = directory / GENERATION
    values = json.loads(file.read_text())
    values["begin_suppress_tokens"] = values["begin_suppress_tokens"][:-1]
    file.write_text(json.dumps(values))
    return directory


@pytest.fixture(params=["fun_asr_nano", "fun_asr_nano with CTC", "whisper"])
def family(request: pytest.FixtureRequest, tmp_path: Path) -> Family:
    """A model with random weights."""
    name, _, with_ctc = request.param.partition(" ")
    make = {"fun_asr_nano": build, "whisper": silent_whisper}[name]
    torch.manual_seed(0)
    loaded = families.load(name, make(tmp_path / "base"))
    if with_ctc:
        loaded.add_ctc_loss(0.3, None)
    return loaded


def test_an_empty_label_is_the_end_alone(family: Family) -> None:
    """Its loss is that of one token more, beside others and in a batch of its own."""
    prompt = WHISPER_JAPANESE if family.window_s else JAPANESE
    spoken, silent = examples(family, [1.0, 0.8], prompt)
    silent = dataclasses.replace(silent, text="")
    losses = []
    for batch in ([spoken], [silent], [spoken, silent], [silent, silent]):
        inputs = family.training_batch(batch)
        labels = family.num_labels(inputs)
        with torch.no_grad():
            losses.append((float(family.model(**inputs)["loss"]) * labels, labels))
    (first, num), (second, one), (both, sum_), (twice, two) = losses
    assert (one, two, sum_) == (1, 2, num + 1)
    assert both == pytest.approx(first + second, rel=1e-4)
    assert twice == pytest.approx(2 * second, rel=1e-4)


def test_a_model_learns_to_say_nothing(family: Family) -> None:
    """Of one utterance, while it says the text of another; the encoder stays as it is."""
    prompt = WHISPER_JAPANESE if family.window_s else JAPANESE
    spoken, silent = examples(family, [1.5, 0.4], prompt)
    batch = family.training_batch([spoken, dataclasses.replace(silent, text="")])
    with torch.no_grad():
        encoded, _ = family.encode(batch)
    optimizer = torch.optim.Adam(family.model.parameters(), lr=5e-3)
    for _ in range(100):
        optimizer.zero_grad()
        family.model(**batch, encoded=encoded)["loss"].backward()
        optimizer.step()
    family.model.eval()
    search = Search(max_new_tokens=[20, 20])
    first, second = family.transcribe([spoken.features, silent.features], prompt, search)
    assert (first.text, second.text, second.num_tokens) == (spoken.text, "", 1)


def test_a_whisper_that_cannot_end_at_once_is_refused(tmp_path: Path) -> None:
    """As published ones; so is one that has to begin with a timestamp."""
    published = families.load("whisper", build_whisper(tmp_path / "published"))
    refuse_silence(published, params(WHISPER_JAPANESE), ROWS[:1])
    with pytest.raises(
        ConfigError, match=r"generation_config\.json .*: take \d+ out of its begin_"
    ):
        refuse_silence(published, params(WHISPER_JAPANESE), ROWS)
    silent = families.load("whisper", silent_whisper(tmp_path / "silent"))
    refuse_silence(silent, params(WHISPER_JAPANESE), ROWS)
    timed = dataclasses.replace(WHISPER_JAPANESE, timestamps=True)
    with pytest.raises(ConfigError, match="timestamps: false"):
        refuse_silence(silent, params(WHISPER_JAPANESE, timed), ROWS)
    silent.save(tmp_path / "saved")
    refuse_silence(families.load("whisper", tmp_path / "saved"), params(WHISPER_JAPANESE), ROWS)
