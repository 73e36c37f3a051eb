"""Fun-ASR-Nano exported for sherpa-onnx: decodes by that runtime as it is published.

A directory holds three graphs and a tokenizer under the names of the published
sherpa-onnx-funasr-nano-int8-2025-12-30, without `.int8` where they are float32.
It cannot be trained.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.text_tokens import MARK
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.families.fun_asr_nano import texts
from galgame_asr.messages.errors import CheckpointError, ConfigError
from galgame_asr.runtimes.extras import require

WINDOW_S, DEFAULTS = None, texts.DEFAULTS
GRAPHS = ("encoder_adaptor", "llm", "embedding")
TOKENIZER = "Qwen3-0.6B"
TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer.json")
# Of audio that is shorter the runtime computes no frame at all, and says nothing.
MIN_SAMPLES = 80
# With a full-width colon as in training; the Python package's own has another one.
USER_PROMPT = "语音转写："
# What the runtime takes for the end of a hotword, or leaves out at its ends.
UNFIT = re.compile(r"[,;\n\t，；]|^\s|\s$|^$")


def graph_file(directory: Path, name: str, *, int8: bool) -> Path:
    """Where a graph lies."""
    return directory / f"{name}{'.int8' if int8 else ''}.onnx"


def is_int8(directory: Path) -> bool:
    """Whether the graphs are quantised."""
    return graph_file(directory, GRAPHS[0], int8=True).is_file()


def padded(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples with silence after them where they are too few."""
    missing = MIN_SAMPLES - len(audio)
    return np.pad(audio, (0, missing)) if missing > 0 else audio


@dataclass(frozen=True)
class _Loaded:
    """The runtime, which takes its prompt and its limit when it is loaded."""

    prompt: Prompt
    limit: int
    recognizer: Any


class FunAsrNanoSherpa:
    """The `Recogniser` of Fun-ASR-Nano in sherpa-onnx's format; on the CPU alone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._sherpa_onnx = require("sherpa_onnx", extra="export")
        self.model = nn.Module()  # nothing: the runtime is on the CPU wherever this is moved to
        self._loaded: _Loaded | None = None

    def features(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """The samples themselves (T, 1): the runtime computes its own features."""
        return torch.from_numpy(padded(audio))[:, None]

    def transcribe(
        self, features: Sequence[torch.Tensor], prompt: Prompt, search: Search
    ) -> list[Transcript]:
        """Decode; see `Recogniser`. One after the other, as the runtime does it.

        Raises:
            CheckpointError: the runtime cannot load the directory.
            ConfigError: the runtime has no such search, or cannot be told such a prompt.
        """
        if search.beams > 1 or search.no_repeat_ngram_size:
            raise ConfigError(
                f"decode: sherpa-onnx searches Fun-ASR-Nano greedily; found beams {search.beams} "
                f"and no_repeat_ngram_size {search.no_repeat_ngram_size}: set them to 1 and 0"
            )
        recognizer = self._recognizer(prompt, max(search.max_new_tokens))
        streams = []
        for item in features:
            stream = recognizer.create_stream()
            stream.accept_waveform(SAMPLE_RATE_HZ, item[:, 0].numpy())
            streams.append(stream)
        recognizer.decode_streams(streams)
        return [
            transcript(stream.result.tokens, limit)
            for stream, limit in zip(streams, search.max_new_tokens, strict=True)
        ]

    def _recognizer(self, prompt: Prompt, limit: int) -> Any:
        """The runtime for a prompt and at least so many tokens; the longest decode first."""
        known = self._loaded
        if known is not None and known.prompt == prompt and known.limit >= limit:
            return known.recognizer
        known = self._loaded = None  # not twice in memory
        self._loaded = _Loaded(prompt, limit, self._load(prompt, limit))
        return self._loaded.recognizer

    def _load(self, prompt: Prompt, limit: int) -> Any:
        _check(prompt)
        int8 = is_int8(self.directory)
        files = {name: str(graph_file(self.directory, name, int8=int8)) for name in GRAPHS}
        try:
            return self._sherpa_onnx.OfflineRecognizer.from_funasr_nano(
                **files,
                tokenizer=str(self.directory / TOKENIZER),
                num_threads=torch.get_num_threads(),
                user_prompt=USER_PROMPT,
                max_new_tokens=limit,
                language=prompt.language or "",
                itn=prompt.itn,
                hotwords=",".join(prompt.hotwords),
            )
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.directory} cannot be loaded by sherpa-onnx: {error}; export it again"
            ) from None


def _check(prompt: Prompt) -> None:
    texts.refuse_timestamps(prompt)
    texts.refuse_marks(prompt, "sherpa-onnx")
    if wrong := [word for word in prompt.hotwords if UNFIT.search(word)]:
        raise ConfigError(
            f"hotwords: sherpa-onnx would split or trim {wrong[0]!r}; write words without "
            "separators (, ; ， ； tab, line end) and without spaces at their ends"
        )


def transcript(pieces: Sequence[str], limit: int) -> Transcript:
    """A transcript of what the runtime gives for each token; the end is not among them.

    A character of several tokens stands at its last one, the others are empty. Of one that is
    cut off there is a sign for each byte, where FunASR has one for all; of special tokens there
    are the names, where FunASR has nothing.
    """
    said = list(pieces[:limit])
    if said and (said[-1].endswith("\ufffd") or (not said[-1] and len(pieces) > limit)):
        said[-1] = said[-1].rstrip("\ufffd") + "\ufffd"
    text = "".join(piece for piece in said if not MARK.fullmatch(piece))
    return Transcript(texts.tidy(text), len(said) + (len(said) < limit), None)


def load(directory: Path) -> FunAsrNanoSherpa:
    """Load an export; see `runtimes.load`.

    Raises:
        CheckpointError: a file is missing.
        ConfigError: sherpa-onnx is not installed.
    """
    files = [graph_file(directory, name, int8=is_int8(directory)) for name in GRAPHS]
    files += [directory / TOKENIZER / name for name in TOKENIZER_FILES]
    if missing := [file for file in files if not file.is_file()]:
        name = missing[0].relative_to(directory)
        raise CheckpointError(f"{directory} is no export for sherpa-onnx: it lacks {name}")
    return FunAsrNanoSherpa(directory)
