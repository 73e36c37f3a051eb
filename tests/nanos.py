"""Small Fun-ASR-Nanos of any dimensions whose random weights say distinct texts."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from galgame_asr.base.fun_asr_nano_files import write_json
from galgame_asr.base.tiny_fun_asr_nano import LLM_DIRECTORY
from galgame_asr.core.files import content_hash
from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.families.fun_asr_nano.family import WEIGHTS
from galgame_asr.families.fun_asr_nano.funasr_parts import CTC, tables
from galgame_asr.families.fun_asr_nano.network import CTC_BRANCH, Model
from galgame_asr.families.fun_asr_nano.weights import read_config, save_weights
from galgame_asr.formats.common.exporter import Exporter
from galgame_asr.runtimes import load as runtimes
from tests import models

# How much larger matrices are than they are drawn, so that the text depends on the speech.
GAIN = {"audio_adaptor": 8.0, "llm": 6.0}
END = 2
# How much smaller the logit of the end is, so that not all texts are short.
END_GAIN = 0.8
COUNT, TOKENS = 12, 12
AUDIOS = [models.noise(0.3 + number / 5, number) for number in range(COUNT)]
YAML_ = YAML(typ="safe")


def build(
    directory: Path, *, seed: int = 3, encoder_gain: float = 1.0, **changes: Mapping[str, Any]
) -> Path:
    """Write the model directory of `models.build` with other dimensions.

    Args:
        directory: where.
        seed: of the weights.
        encoder_gain: how much larger the encoder's matrices are than they are drawn: more
            different texts, and more rounding.
        changes: of sections of config.yaml, and of `llm`, the language model's config.json.
    """
    models.build(directory)
    llm = directory / LLM_DIRECTORY / "config.json"
    # Tied to its embeddings, a model with random weights repeats the token before.
    untied = {"tie_word_embeddings": False}
    write_json(llm, YAML_.load(llm) | untied | dict(changes.pop("llm", {})))
    config = YAML_.load(directory / "config.yaml")
    for section, values in changes.items():
        config[section] = {**config.get(section, {}), **values}
    YAML().dump(config, directory / "config.yaml")
    torch.manual_seed(seed)
    model = Model(**read_config(directory), input_size=560, vocab_size=-1)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.ndim == 2:
                tensor.mul_(GAIN.get(name.split(".")[0], encoder_gain))
        _say_characters(model, directory)
    save_weights(model, directory / WEIGHTS)
    return directory


def _say_characters(model: Model, directory: Path) -> None:
    """Leave the end and whole characters alone: parts of characters are no text."""
    tokenizer = json.loads((directory / LLM_DIRECTORY / "tokenizer.json").read_bytes())
    vocabulary = tokenizer["model"]["vocab"]
    # Three bytes.
    said = [END, *(token for text, token in vocabulary.items() if len(text) == 3)]
    factor = torch.zeros(model.llm.config.vocab_size)
    factor[said] = 1.0
    factor[END] = END_GAIN
    model.llm.lm_head.weight.mul_(factor[:, None])


def add_ctc(directory: Path, *, tokens: int = 300, layers: int = 2) -> Path:
    """Give a model a CTC branch, as the published one has it, with a tokenizer of single bytes."""
    lines = [f"{base64.b64encode(bytes([n])).decode()} {n}" for n in range(256)]
    (directory / "multilingual.tiktoken").write_text("\n".join(lines) + "\n")
    config = YAML_.load(directory / "config.yaml")
    width = config["audio_encoder_conf"]["output_size"]
    conf = {
        "downsample_rate": 1, "encoder_dim": width, "llm_dim": width, "ffn_dim": 40,
        "n_layer": layers,
    }  # fmt: skip
    config |= {"ctc_decoder": "Transformer", "ctc_decoder_conf": conf, "ctc_vocab_size": tokens}
    config["dataset_conf"] = {
        "ctc_tokenizer": "SenseVoiceTokenizer",
        "ctc_tokenizer_conf": {"is_multilingual": True, "num_languages": 10},
    }
    YAML().dump(config, directory / "config.yaml")
    entries = json.loads((directory / "configuration.json").read_text())
    entries["file_path_metas"]["ctc_tokenizer_conf"] = {"vocab_path": "multilingual.tiktoken"}
    write_json(directory / "configuration.json", entries)
    saved = torch.load(directory / WEIGHTS, weights_only=True)
    torch.manual_seed(5)
    decoder = tables.adaptor_classes["Transformer"](**conf)
    head = CTC(odim=tokens, encoder_output_size=width)
    for prefix, module in zip(CTC_BRANCH, (decoder, head), strict=True):
        saved["state_dict"] |= {f"{prefix}{name}": t for name, t in module.state_dict().items()}
    torch.save(saved, directory / WEIGHTS)
    return directory


def make_export(exporter: Exporter, checkpoint: Path, precision: str) -> Path:
    """Export a checkpoint, to a directory beside it."""
    directory = checkpoint.with_name(f"{checkpoint.name}-{precision}")
    directory.mkdir()
    exporter.export(checkpoint, directory, precision)
    assert runtimes.detect(directory) == exporter.RUNTIME
    return directory


def same_bytes_elsewhere(format_: str, checkpoint: Path, export: Path, place: Path) -> None:
    """Another process exports a copy of the checkpoint to equal files, none of which names it."""
    shutil.copytree(checkpoint, place / "elsewhere")
    code = (
        "import sys; from pathlib import Path\n"
        f"from galgame_asr.formats.{format_} import export as format\n"
        "format.export(Path(sys.argv[1]), Path(sys.argv[2]), 'float32')"
    )
    (place / "out").mkdir()
    subprocess.run([sys.executable, "-c", code, place / "elsewhere", place / "out"], check=True)
    assert content_hash([place / "out"]) == content_hash([export])
    for file in export.iterdir():
        assert str(checkpoint.parent).encode() not in file.read_bytes()


def say(
    directory: Path, prompt: Prompt = models.JAPANESE, *, count: int = COUNT, **more: int
) -> list[Transcript]:
    """What the model in a directory says about `AUDIOS`, in batches of four."""
    recogniser = runtimes.load(runtimes.detect(directory), directory)
    features = [recogniser.features(audio) for audio in AUDIOS[:count]]
    said = []
    for start in range(0, count, 4):
        batch = features[start : start + 4]
        said += recogniser.transcribe(batch, prompt, Search([TOKENS] * len(batch), **more))
    return said


def equal(found: list[Transcript], expected: list[Transcript]) -> int:
    """Equal texts."""
    return sum(one.text == other.text for one, other in zip(found, expected, strict=True))
