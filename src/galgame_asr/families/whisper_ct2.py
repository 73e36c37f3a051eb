"""Whisper exported for CTranslate2: decodes with that runtime what transformers would with its own.

A directory holds model.bin, config.json and vocabulary.json as CTranslate2 writes
them, and the checkpoint's tokenizer and feature extractor. It cannot be trained.
"""

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import WhisperFeatureExtractor, WhisperTokenizer

from galgame_asr.audio.reader import SAMPLE_RATE_HZ
from galgame_asr.decoding.transcript import Transcript
from galgame_asr.errors import CheckpointError, ConfigError
from galgame_asr.extras import require
from galgame_asr.families import Search
from galgame_asr.params.prompts import Prompt

FILES = (
    "model.bin",
    "config.json",
    "vocabulary.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
)


class WhisperCt2:
    """The `Recogniser` of Whisper in CTranslate2's format."""

    def __init__(
        self, directory: Path, extractor: WhisperFeatureExtractor, tokenizer: WhisperTokenizer
    ) -> None:
        self.directory, self.extractor, self.tokenizer = directory, extractor, tokenizer
        # Has nothing but a place: the runtime follows it to the device it is moved to.
        self.model = nn.Module()
        self.model.register_buffer("place", torch.empty(0))
        self._ctranslate2 = require("ctranslate2", extra="whisper")

    def features(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """Log-mel frames of the audio and silence up to 30 s: (3000, D).

        As in training. faster-whisper pads the features instead, with frames that no
        silence has, and models that never saw them say something else.
        """
        found = self.extractor(audio, sampling_rate=SAMPLE_RATE_HZ, return_tensors="np")
        return torch.from_numpy(found.input_features[0].T.copy())

    def transcribe(
        self, features: Sequence[torch.Tensor], prompt: Prompt, search: Search
    ) -> list[Transcript]:
        """Decode a batch; see `Recogniser`."""
        start = self._prompt_tokens(prompt)
        limits = list(search.max_new_tokens)
        # One limit for all is faster. What goes beyond its own is a loop, and rare.
        results = self._generate(features, start, max(limits), search)
        for index, limit in enumerate(limits):
            if len(results[index].sequences_ids[0]) >= limit < max(limits):
                results[index] = self._generate([features[index]], start, limit, search)[0]
        return [
            self._transcript(result, limit) for result, limit in zip(results, limits, strict=True)
        ]

    def _generate(
        self, features: Sequence[torch.Tensor], start: list[int], limit: int, search: Search
    ) -> list[Any]:
        batch = torch.stack([item.T for item in features]).contiguous().numpy()
        found: list[Any] = self._runtime.generate(
            self._ctranslate2.StorageView.from_array(batch),
            [start] * len(features),
            beam_size=search.beams,
            no_repeat_ngram_size=search.no_repeat_ngram_size,
            # The runtime allows so many new tokens: the lesser of half of it and of what
            # it leaves beside the prompt.
            max_length=max(2 * limit, limit + len(start)),
            return_scores=True,
        )
        return found

    def _transcript(self, result: Any, limit: int) -> Transcript:
        tokens = result.sequences_ids[0]
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        # The score is the mean over the tokens without the end, which it counts the
        # probability of; there is no end where the limit cut.
        ended = len(tokens) < limit
        return Transcript(text, len(tokens) + ended, result.scores[0] * max(len(tokens), 1))

    def _prompt_tokens(self, prompt: Prompt) -> list[int]:
        """What the decoder has said before it goes on with the text."""
        id_of = self.tokenizer.convert_tokens_to_ids
        names = ["<|startoftranscript|>", f"<|{prompt.language}|>", "<|transcribe|>"]
        return [id_of(name) for name in (*names, "<|notimestamps|>")]

    @cached_property
    def _runtime(self) -> Any:
        """CTranslate2's model, with as many threads as torch has."""
        # It warns that a CPU runs float16 as float32, which is why float32 is the default there.
        self._ctranslate2.set_log_level(logging.ERROR)
        device = self.model.get_buffer("place").device
        try:
            return self._ctranslate2.models.Whisper(
                str(self.directory),
                device=device.type,
                device_index=device.index or 0,
                intra_threads=torch.get_num_threads(),
                inter_threads=1,
            )
        except RuntimeError as error:
            raise CheckpointError(f"{self.directory}: CTranslate2 cannot load it: {error}") from None


def load(directory: Path, weights: Path | None = None) -> WhisperCt2:
    """Load an export; see `families.load`.

    Raises:
        CheckpointError: a file is missing.
        ConfigError: CTranslate2 is not installed, or `weights` are given.
    """
    if weights is not None:
        raise ConfigError(f"an export has its own weights; {weights} cannot replace them")
    if missing := [name for name in FILES if not (directory / name).is_file()]:
        raise CheckpointError(
            f"{directory} is no export for CTranslate2: {', '.join(missing)} missing"
        )
    return WhisperCt2(
        directory,
        WhisperFeatureExtractor.from_pretrained(directory),
        WhisperTokenizer.from_pretrained(directory),
    )
