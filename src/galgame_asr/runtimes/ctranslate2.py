"""Whisper exported for CTranslate2: decodes by that runtime as whisper.py does by transformers.

A directory holds model.bin, config.json and vocabulary.json as CTranslate2 writes
them (vocabulary.txt, in older ones), and the checkpoint's tokenizer and feature extractor. It
cannot be trained.
"""

import json
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import WhisperFeatureExtractor, WhisperTokenizer

from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.families.whisper import front
from galgame_asr.families.whisper.front import PREPROCESSOR, WINDOW_S, FrontEnd, load_front, pad
from galgame_asr.messages.errors import CheckpointError
from galgame_asr.runtimes.extras import require

DEFAULTS = front.DEFAULTS
FILES = ("model.bin", "config.json", "tokenizer.json", PREPROCESSOR)
# Of every published Whisper; CTranslate2's files do not say.
POSITIONS = 448


class WhisperCt2(FrontEnd):
    """The `Recogniser` of multilingual Whisper models in CTranslate2's format."""

    window_s: float | None = WINDOW_S

    def __init__(
        self, directory: Path, tokenizer: WhisperTokenizer, extractor: WhisperFeatureExtractor
    ) -> None:
        ids = json.loads((directory / "config.json").read_bytes())["lang_ids"]
        languages = dict(zip(tokenizer.convert_ids_to_tokens(ids), ids, strict=True))
        super().__init__(tokenizer, extractor, languages, POSITIONS)
        self.directory = directory
        self._ctranslate2 = require("ctranslate2", extra="whisper")
        # Nothing but a place: the runtime is loaded onto the device that this was moved to.
        self.model = nn.Module()
        self.model.register_buffer("place", torch.empty(0))

    def transcribe(
        self, features: Sequence[torch.Tensor], prompt: Prompt, search: Search
    ) -> list[Transcript]:
        """Decode; see `Recogniser`. Without a language in the prompt, each is detected.

        Probabilities are among the tokens that the search allows: suppressed ones have none.
        """
        batch = [pad([item]) for item in features]
        # The length of the prompt is the same for every language.
        room = self.positions - len(self.prompt_tokens(prompt, self.end))
        limits = [min(limit, room) for limit in search.max_new_tokens]
        results = self._generate(batch, prompt, search, max(limits))
        # One limit for all is fast. What goes beyond its own is a loop, and rare: again alone.
        for index, limit in enumerate(limits):
            if len(results[index][0]) >= limit < max(limits):
                (results[index],) = self._generate([batch[index]], prompt, search, limit)
        return [
            Transcript(
                self.tokenizer.decode(tokens, skip_special_tokens=True).strip(),
                len(tokens) + (len(tokens) < limit),  # the end, which the runtime leaves out
                log_prob,
            )
            for (tokens, log_prob), limit in zip(results, limits, strict=True)
        ]

    def _generate(
        self, batch: Sequence[torch.Tensor], prompt: Prompt, search: Search, limit: int
    ) -> list[tuple[list[int], float]]:
        """Tokens of each text without its end, and their log probability with it."""
        features = self._ctranslate2.StorageView.from_array(torch.cat(list(batch)).numpy())
        encoded = self._runtime.encode(features)
        prompts = self._prompts(prompt, encoded, len(batch))
        given = len(prompts[0])
        # A length is what scores are divided by: of one hypothesis there is no choice.
        penalty = 1 if search.beams > 1 else 0
        found = self._runtime.generate(
            encoded,
            prompts,
            beam_size=search.beams,
            length_penalty=penalty,
            no_repeat_ngram_size=search.no_repeat_ngram_size,
            # New tokens are at most half of it, and at most what it leaves beside the prompt.
            max_length=max(2 * limit, limit + given),
            return_scores=True,
        )
        tokens = [result.sequences_ids[0] for result in found]
        scores = [result.scores[0] for result in found]
        return [
            (row, score * max(len(row), 1) ** penalty)
            for row, score in zip(tokens, scores, strict=True)
        ]

    def _prompts(self, prompt: Prompt, encoded: Any, count: int) -> list[list[int]]:
        if prompt.language is not None:
            return [self.prompt_tokens(prompt)] * count
        # Names and probabilities, the most probable first.
        found = [row[0][0] for row in self._runtime.detect_language(encoded)]
        return [self.prompt_tokens(prompt, self.languages[name]) for name in found]

    @cached_property
    def _runtime(self) -> Any:
        """CTranslate2's model, with as many threads as torch has."""
        # It warns that a CPU runs float16 as float32, which is what we want of it.
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
            raise CheckpointError(
                f"{self.directory} cannot be loaded by CTranslate2: {error}"
            ) from None


def load(directory: Path) -> WhisperCt2:
    """Load an export; see `runtimes.load`.

    Raises:
        CheckpointError: a file is missing or damaged.
        ConfigError: CTranslate2 is not installed.
    """
    if missing := [name for name in FILES if not (directory / name).is_file()]:
        raise CheckpointError(f"{directory} is no export for CTranslate2: it lacks {missing[0]}")
    return WhisperCt2(directory, *load_front(directory))
