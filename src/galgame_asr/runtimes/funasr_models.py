"""Models of funasr other than Fun-ASR-Nano, by `funasr.AutoModel`: SenseVoice, Paraformer.

A directory is in FunASR's layout, with config.yaml, configuration.json and what they name. One
utterance at a time; of rich texts, as of SenseVoice, the marks <|...|> are left out.
"""

import contextlib
import importlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ruamel.yaml import YAML
from torch import nn

from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.text_tokens import MARK
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.families.fun_asr_nano import (
    funasr_parts,  # noqa: F401  before all of funasr
)
from galgame_asr.messages.errors import CheckpointError, ConfigError
from galgame_asr.runtimes.funasr import CONFIG, ENTRIES, auto_model, refuse_foreign

WINDOW_S, DEFAULTS = None, Defaults(prompts=(Prompt(),))
# By class of the model, the parts of a prompt that it takes, each with its argument of `generate`.
ARGUMENTS = {
    "SenseVoiceSmall": {"language": "language", "itn": "use_itn"},
    "ContextualParaformer": {"hotwords": "hotword"},
    "SeacoParaformer": {"hotwords": "hotword"},
}


class FunasrModel:
    """The `Recogniser` of a model that AutoModel loads."""

    def __init__(self, directory: Path, arguments: Mapping[str, Any]) -> None:
        self.directory, self.arguments = directory, arguments
        self.kind = model_class(directory)
        # Nothing but a place: funasr loads onto the device that this was moved to.
        self.model = nn.Module()
        self.model.register_buffer("place", torch.empty(0))

    def features(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """The samples as they are, (T, 1): funasr computes filter banks itself."""
        return torch.from_numpy(audio)[:, None]

    def transcribe(
        self, features: Sequence[torch.Tensor], prompt: Prompt, search: Search
    ) -> list[Transcript]:
        """Decode; see `Recogniser`. Its search has no limit, and tells no tokens: 0.

        Raises:
            CheckpointError: funasr cannot load the directory, or finds tensors missing.
            ConfigError: the model cannot be asked for what the prompt says.
        """
        if search.beams > 1 or search.no_repeat_ngram_size:
            raise ConfigError(f"search: {self.kind} of funasr has none; leave it out")
        told = {**self.arguments, **self._told(prompt)}
        return [Transcript(self._text(item[:, 0], told), 0, None) for item in features]

    def _told(self, prompt: Prompt) -> dict[str, Any]:
        names = ARGUMENTS.get(self.kind, {})
        values = {"language": prompt.language, "hotwords": " ".join(prompt.hotwords)}
        for part in ("language", "hotwords"):
            if values[part] and part not in names:
                raise ConfigError(f"{part}: {self.kind} of funasr takes none; leave it out")
        languages = getattr(self._runtime.model, "lid_dict", {})
        if prompt.language and prompt.language not in languages:
            raise ConfigError(
                f"language '{prompt.language}' is none that {self.kind} knows: "
                f"{', '.join(languages)}"
            )
        told = {names[part]: value for part, value in values.items() if value and part in names}
        return told | ({names["itn"]: prompt.itn} if "itn" in names else {})

    def _text(self, samples: torch.Tensor, told: Mapping[str, Any]) -> str:
        found = self._runtime.generate(input=[samples], batch_size=1, **told)
        # Of silence, some give nothing.
        return MARK.sub("", found[0]["text"]).strip() if found else ""

    @cached_property
    def _runtime(self) -> Any:
        """An AutoModel; funasr finds a class where its module was imported: so all are."""
        with contextlib.redirect_stdout(io.StringIO()):
            funasr: Any = importlib.import_module("funasr")
            everything: Callable[[str], object] = funasr.import_submodules
            everything("funasr")
        return auto_model(self.directory, self.model.get_buffer("place").device)


def model_class(directory: Path) -> str:
    """The class of a model directory, as its config.yaml names it.

    Raises:
        CheckpointError: a file is missing or damaged, or it would have more fetched or run.
    """
    for name in (CONFIG, ENTRIES):
        if not (directory / name).is_file():
            raise CheckpointError(f"{directory} is no model for funasr: it lacks {name}")
    refuse_foreign(directory)
    # A file that is named and not there funasr passes over, and goes on with random weights.
    named = json.loads((directory / ENTRIES).read_bytes()).get("file_path_metas", {})
    if "init_param" not in named:
        raise CheckpointError(f"{directory / ENTRIES} has no file_path_metas.init_param")
    sections = [part if isinstance(part, dict) else {"": part} for part in named.values()]
    files = [name for section in sections for name in section.values()]
    if missing := [name for name in files if not (directory / str(name)).exists()]:
        raise CheckpointError(f"{directory} lacks {missing[0]}, which {ENTRIES} names")
    config = YAML(typ="safe").load(directory / CONFIG)
    kind = config.get("model") if isinstance(config, dict) else None
    if not isinstance(kind, str):
        raise CheckpointError(f"{directory / CONFIG} names no model")
    return kind


def load(directory: Path, arguments: Mapping[str, Any]) -> FunasrModel:
    """Load a model when it is first used; see `runtimes.load`.

    Args:
        directory: of the model.
        arguments: of `AutoModel.generate`, beside what the prompt says.

    Raises:
        CheckpointError: as for `model_class`.
    """
    return FunasrModel(directory, arguments)
