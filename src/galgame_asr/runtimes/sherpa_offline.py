"""Any offline recogniser of sherpa-onnx, with the files and arguments that it takes.

sherpa.py knows this project's own exports by their files; which recogniser others are of, and
which file is what, their files do not say.
"""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import CheckpointError, ConfigError
from galgame_asr.runtimes.extras import require

WINDOW_S, DEFAULTS = None, Defaults(prompts=(Prompt(),))
CONSTRUCTOR = "from_"
# What the prompt and the process say.
OURS = {"num_threads", "language", "use_itn", "provider", "debug"}


class SherpaOffline:
    """The `Recogniser` of a model for sherpa-onnx; on the CPU alone, loaded for its prompt."""

    def __init__(
        self,
        make: Any,
        name: str,
        files: Mapping[str, str],
        arguments: Mapping[str, Any],
        padding_s: float,
    ) -> None:
        self._make, self._name = make, name
        self._files, self._arguments = files, arguments
        self._padding = round(padding_s * SAMPLE_RATE_HZ)
        self._known = list(inspect.signature(make).parameters)
        self._loaded: tuple[Prompt, Any] | None = None
        self.model = nn.Module()  # nothing: the runtime is on the CPU wherever this is moved to
        for argument in (*files, *arguments):
            if argument not in self._known or argument in OURS:
                allowed = ", ".join(one for one in self._known if one not in OURS)
                raise ConfigError(
                    f"{name} of sherpa-onnx takes no '{argument}'. Allowed: {allowed}"
                )

    def features(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """The samples between silence, (T, 1): the runtime computes its own features."""
        return torch.from_numpy(np.pad(audio, self._padding))[:, None]

    def transcribe(
        self, features: Sequence[torch.Tensor], prompt: Prompt, search: Search
    ) -> list[Transcript]:
        """Decode; see `Recogniser`. Its own search has no limit, and tells tokens without the end.

        Raises:
            CheckpointError: the runtime cannot load the files.
            ConfigError: the recogniser cannot be asked for what the prompt says, or decode so
                little audio.
        """
        recognizer = self._recognizer(prompt)
        streams = []
        for item in features:
            stream = recognizer.create_stream()
            stream.accept_waveform(SAMPLE_RATE_HZ, item[:, 0].numpy())
            streams.append(stream)
        try:
            recognizer.decode_streams(streams)
        except RuntimeError as error:
            shortest_s = min(map(len, features)) / SAMPLE_RATE_HZ
            raise ConfigError(
                f"{self._name} of sherpa-onnx cannot decode audio of {shortest_s:g} s and more, "
                f"silence included ({error}); more silence, padding_s, may help"
            ) from None
        found = [stream.result for stream in streams]
        return [Transcript(one.text.strip(), len(one.tokens), None) for one in found]

    def _recognizer(self, prompt: Prompt) -> Any:
        if self._loaded is None or self._loaded[0] != prompt:
            self._loaded = None  # not twice in memory
            self._loaded = (prompt, self._load(prompt))
        return self._loaded[1]

    def _load(self, prompt: Prompt) -> Any:
        told: dict[str, Any] = {"num_threads": torch.get_num_threads()}
        if prompt.hotwords or prompt.timestamps:
            raise ConfigError(f"hotwords and timestamps: {self._name} of sherpa-onnx takes none")
        if prompt.language is not None:
            if "language" not in self._known:
                raise ConfigError(
                    f"language '{prompt.language}': {self._name} of sherpa-onnx takes none; leave "
                    "it out of its prompts"
                )
            told["language"] = prompt.language
        if "use_itn" in self._known:
            told["use_itn"] = prompt.itn
        try:
            return self._make(**self._files, **self._arguments, **told)
        except (RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{', '.join(self._files.values())} cannot be loaded by sherpa-onnx: {error}"
            ) from None


def load(
    directory: Path,
    recognizer: str,
    files: Mapping[str, str],
    arguments: Mapping[str, Any],
    padding_s: float = 0.0,
) -> SherpaOffline:
    """Load a model when it is first used; see `runtimes.load`.

    Args:
        directory: of the files.
        recognizer: NAME of `OfflineRecognizer.from_NAME`.
        files: names in the directory, by argument of it.
        arguments: others of it.
        padding_s: silence before and after the audio.

    Raises:
        CheckpointError: a file is missing.
        ConfigError: sherpa-onnx is not installed, or has no such recogniser or argument.
    """
    made = require("sherpa_onnx", extra="export").OfflineRecognizer
    names = [name.removeprefix(CONSTRUCTOR) for name in dir(made) if name.startswith(CONSTRUCTOR)]
    if recognizer not in names:
        raise ConfigError(
            f"sherpa-onnx has no recognizer '{recognizer}'. Allowed: {', '.join(names)}"
        )
    if missing := [name for name in files.values() if not (directory / name).exists()]:
        raise CheckpointError(f"{directory} lacks {', '.join(missing)}")
    paths = {argument: str(directory / name) for argument, name in files.items()}
    return SherpaOffline(
        getattr(made, CONSTRUCTOR + recognizer), recognizer, paths, arguments, padding_s
    )
