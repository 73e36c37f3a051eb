"""Qwen3-ASR by transformers' own class, 5.23: decodes, and is not trained here.

A directory is one that `Qwen3ASRForConditionalGeneration.from_pretrained` loads (the
repositories of Qwen whose names end in -hf, and what was trained from them), with its processor.

What the model takes beside the audio is a language and, as its `context`, any text: hotwords.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoProcessor, GenerationConfig, Qwen3ASRForConditionalGeneration
from transformers.models.qwen3_asr.processing_qwen3_asr import LANGUAGE_CODE_TO_NAME
from transformers.utils.logging import disable_progress_bar

from galgame_asr.families.common import foreign
from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.text_tokens import MARK
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import CheckpointError, ConfigError

WINDOW_S = None
DEFAULTS = Defaults(prompts=(Prompt(language="ja"),))


class Qwen3Asr:
    """The `Recogniser` of Qwen3-ASR."""

    window_s: float | None = WINDOW_S

    def __init__(self, model: Qwen3ASRForConditionalGeneration, processor: Any) -> None:
        self.model, self.processor = model, processor
        ends = model.generation_config.eos_token_id or model.config.eos_token_id
        self.ends = list(ends) if isinstance(ends, list | tuple) else [ends]

    def features(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """The samples as they are, (T, 1): the processor computes log-mel features."""
        return torch.from_numpy(audio)[:, None]

    @torch.no_grad()
    def transcribe(
        self, features: Sequence[torch.Tensor], prompt: Prompt, search: Search
    ) -> list[Transcript]:
        """Decode; see `Recogniser`. Without a language in the prompt, the model says which it is.

        Loops are shortened as Qwen's own code does it: 20 repeats of a unit become one.

        Raises:
            ConfigError: the model cannot be asked for what the prompt says.
        """
        device = next(self.model.parameters()).device
        given = self.processor.apply_transcription_request(
            [item[:, 0].numpy() for item in features],
            language=_language(prompt),
            prompt=" ".join(prompt.hotwords) or None,
        ).to(device)
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=max(search.max_new_tokens),
            num_beams=search.beams,
            no_repeat_ngram_size=search.no_repeat_ngram_size,
            do_sample=False,
            eos_token_id=self.ends,
            pad_token_id=self.ends[-1],
        )
        found = cast("Any", self.model).generate(**given, generation_config=config)
        rows = found[:, given["input_ids"].shape[1] :].tolist()
        return [
            self._transcript(row[:limit])
            for row, limit in zip(rows, search.max_new_tokens, strict=True)
        ]

    def _transcript(self, tokens: list[int]) -> Transcript:
        length = next((n for n, token in enumerate(tokens, 1) if token in self.ends), len(tokens))
        text = self.processor.decode(tokens[:length], return_format="transcription_only")
        return Transcript(text, length, None)


def _language(prompt: Prompt) -> str | None:
    if not prompt.itn or prompt.timestamps:
        raise ConfigError(
            "itn and timestamps: Qwen3-ASR cannot be told; leave them out of its prompts"
        )
    if marked := [word for word in prompt.hotwords if MARK.search(word)]:
        raise ConfigError(f"hotwords: {marked[0]!r} holds a special token, which would end them")
    known = {**LANGUAGE_CODE_TO_NAME, **{name: name for name in LANGUAGE_CODE_TO_NAME.values()}}
    if prompt.language is not None and prompt.language not in known:
        raise ConfigError(
            f"language '{prompt.language}' is none that Qwen3-ASR knows; write its code or "
            f"English name, such as ja or Japanese: {', '.join(sorted(LANGUAGE_CODE_TO_NAME))}"
        )
    return known.get(prompt.language or "")


def load(directory: Path) -> Qwen3Asr:
    """Load a model directory, in float32; see `runtimes.load`.

    Raises:
        CheckpointError: a file is missing or damaged, tensors are missing or of another shape, or
            it would have more fetched or run.
    """
    foreign.refuse_directory(directory)
    disable_progress_bar()  # type: ignore[no-untyped-call]  # of loading, soon over
    try:
        processor = AutoProcessor.from_pretrained(directory, local_files_only=True)  # type: ignore[no-untyped-call]
        loaded: Any = Qwen3ASRForConditionalGeneration.from_pretrained(
            directory, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # of files, of JSON, of safetensors, of torch; they share no base
        raise CheckpointError(f"{directory} cannot be loaded as Qwen3-ASR: {error}") from None
    model, info = loaded
    if wrong := sorted([*info["missing_keys"], *info["unexpected_keys"]]):
        raise CheckpointError(
            f"{directory} is no whole Qwen3-ASR: {len(wrong)} tensors are missing or "
            f"unknown, such as {wrong[0]}"
        )
    return Qwen3Asr(model.eval(), processor)
