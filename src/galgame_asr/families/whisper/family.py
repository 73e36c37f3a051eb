"""Whisper: transformers' own model class, loaded from and saved in transformers' layout.

A model directory is one that `WhisperForConditionalGeneration.from_pretrained` loads,
with preprocessor_config.json and tokenizer.json for faster-whisper and its converter.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GenerationConfig,
    GenerationMixin,
    WhisperFeatureExtractor,
    WhisperTokenizer,
)
from transformers.generation.logits_process import (
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.family import Example, Search
from galgame_asr.families.common.params import CtcBranch, Prompt
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.families.whisper.front import (
    DEFAULTS,
    PREPROCESSOR,
    WINDOW_S,
    FrontEnd,
    load_front,
    pad,
)
from galgame_asr.families.whisper.network import (
    IGNORED,
    SINUSOIDS,
    Model,
    copy_other_files,
    load_model,
    save_model,
)
from galgame_asr.messages.errors import ConfigError

PARTS = {"encoder": "model.encoder.", "decoder": "model.decoder."}
TOKENIZER = "tokenizer.json"
TIMESTAMP_S = 0.02  # between two timestamp tokens


class Whisper(FrontEnd):
    """The `Family` of multilingual Whisper models."""

    parts: Mapping[str, str] = PARTS
    fixed: Sequence[str] = (SINUSOIDS,)
    lora_parts: Sequence[str] = tuple(PARTS)
    defaults: Defaults = DEFAULTS
    window_s: float | None = WINDOW_S

    def __init__(
        self,
        directory: Path,
        model: Model,
        tokenizer: WhisperTokenizer,
        extractor: WhisperFeatureExtractor,
    ) -> None:
        languages = model.generation_config.to_dict()["lang_to_id"]
        super().__init__(tokenizer, extractor, languages, model.config.max_target_positions)
        self.directory, self.model = directory, model
        self.num_mels: int = model.config.num_mel_bins

    @property
    def layers(self) -> list[nn.Module]:
        """See `Family`."""
        return [*self.model.model.encoder.layers, *self.model.model.decoder.layers]

    def max_text_tokens(self, prompt: Prompt, sentences: int = 1) -> int | None:
        """See `Family`: the positions that prompt and timestamps leave."""
        taken = len(self.prompt_tokens(prompt)) + (2 * sentences if prompt.timestamps else 0)
        return self.model.config.max_target_positions - taken

    def refuse_silence(self, prompt: Prompt) -> None:
        """See `Family`: a text begins with a timestamp, or with what may be the first token."""
        if prompt.timestamps:
            raise ConfigError("Whisper says nothing only where its prompts have timestamps: false")
        if self.end in (self.model.generation_config.begin_suppress_tokens or ()):
            raise ConfigError(
                f"{self.directory}/generation_config.json lets no text begin with its end, so that "
                f"this Whisper cannot learn to say nothing: take {self.end} out of its "
                "begin_suppress_tokens (base.existing.directory), or music and noise out of the mix"
            )

    def training_batch(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Arguments of `Model`: input_features (B, mels, 3000), decoder_input_ids and labels.

        decoder_input_ids and labels (B, S) are right-padded; labels are the text and its end.
        """
        rows = []
        for example in examples:
            source = self.prompt_tokens(example.prompt)
            target = [*self._target_tokens(example), self.end]
            rows.append((source, target))
        return {
            "input_features": pad([example.features for example in examples]),
            "decoder_input_ids": _pad([s + t[:-1] for s, t in rows], self.end),
            "labels": _pad([[IGNORED] * (len(s) - 1) + t for s, t in rows], IGNORED),
        }

    def num_labels(self, batch: Mapping[str, Any]) -> int:
        """See `Family`."""
        return int((batch["labels"] != IGNORED).sum())

    def encode(self, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Family`; padding is heard, so all are equally long."""
        encoded = self.model.model.encoder(batch["input_features"]).last_hidden_state
        return encoded, torch.full((len(encoded),), encoded.shape[1])

    def add_ctc_loss(self, weight: float, branch: CtcBranch | None) -> None:
        """Refuse: see `Family`."""
        raise ConfigError(
            f"ctc_weight is {weight:g}; Whisper's frames are few and its silence long, so it has "
            "no CTC loss: set ctc_weight to 0"
        )

    @torch.no_grad()
    def transcribe(
        self, features: Sequence[torch.Tensor], prompt: Prompt, search: Search
    ) -> list[Transcript]:
        """Decode; see `Family`. Without a language in the prompt, each is detected."""
        self.model.train(False)
        device = next(self.model.parameters()).device
        encoded = self.model.model.encoder(pad(features).to(device)).last_hidden_state
        if prompt.language is None:
            found = self._detect(encoded)
            prompts = [self.prompt_tokens(prompt, language) for language in found]
        else:
            prompts = [self.prompt_tokens(prompt)] * len(features)
        given = torch.tensor(prompts, device=device)
        room = self.model.config.max_target_positions - given.shape[1]
        limits = [min(limit, room) for limit in search.max_new_tokens]
        tokens = [
            _until_end(row.tolist()[:limit], self.end)
            for row, limit in zip(
                self._generate(encoded, given, prompt, search, max(limits)), limits, strict=True
            )
        ]
        log_probs = self._log_probs(encoded, given, tokens)
        texts = [self.tokenizer.decode(row, skip_special_tokens=True) for row in tokens]
        return [
            Transcript(text.strip(), len(row), log_prob)
            for text, row, log_prob in zip(texts, tokens, log_probs, strict=True)
        ]

    def _generate(
        self,
        encoded: torch.Tensor,
        given: torch.Tensor,
        prompt: Prompt,
        search: Search,
        max_new_tokens: int,
    ) -> torch.Tensor:
        """Tokens after the prompt (B, S), padded with the end token.

        By the search that all of transformers' models share: Whisper's own would cut long
        audio, start again at higher temperatures and compose prompts of its own.
        """
        published = self.model.generation_config
        processors = LogitsProcessorList()
        if prompt.timestamps:
            processors.append(WhisperTimeStampLogitsProcessor(published, given.shape[1]))
        if search.no_repeat_ngram_size:
            processors.append(NoRepeat(search.no_repeat_ngram_size, given.shape[1]))
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            max_length=given.shape[1] + max_new_tokens,
            num_beams=search.beams,
            do_sample=False,
            decoder_start_token_id=published.decoder_start_token_id,
            eos_token_id=self.end,
            pad_token_id=self.end,
            suppress_tokens=published.suppress_tokens,
            begin_suppress_tokens=published.begin_suppress_tokens,
        )
        found = GenerationMixin.generate(
            cast("Any", self.model),
            encoder_outputs=BaseModelOutput(encoded),
            attention_mask=encoded.new_ones(encoded.shape[:2]),  # else it warns
            decoder_input_ids=given,
            generation_config=config,
            logits_processor=processors,
        )
        return cast("torch.Tensor", found)[:, given.shape[1] :]

    def _detect(self, encoded: torch.Tensor) -> list[int]:
        """The token of the most probable language of each row, as transformers finds it."""
        start = torch.full((len(encoded), 1), self.token("<|startoftranscript|>"))
        hidden = self.model.model.decoder(
            input_ids=start.to(encoded.device), encoder_hidden_states=encoded, use_cache=False
        ).last_hidden_state
        languages = torch.tensor(sorted(self.languages.values()))
        scores = self.model.proj_out(hidden[:, 0]).float()[:, languages]
        return [int(languages[index]) for index in scores.argmax(1)]

    def _log_probs(
        self, encoded: torch.Tensor, given: torch.Tensor, tokens: list[list[int]]
    ) -> list[float]:
        """Log probability of each row's tokens after its prompt, whatever search found them."""
        found = _pad(tokens, self.end).to(given.device)
        hidden = self.model.model.decoder(
            input_ids=torch.cat([given, found], dim=1)[:, :-1],
            encoder_hidden_states=encoded,
            use_cache=False,
        ).last_hidden_state[:, given.shape[1] - 1 :]
        is_token = _pad([[1] * len(row) for row in tokens], 0).bool().to(given.device)
        logits = self.model.proj_out(hidden[is_token]).float()
        chosen = -nn.functional.cross_entropy(logits, found[is_token], reduction="none")
        return [float(part.sum()) for part in torch.split(chosen, [len(row) for row in tokens])]

    def save(self, directory: Path, tensors: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write a model directory: the files this one was loaded with, and the new weights."""
        if directory != self.directory:
            copy_other_files(self.directory, directory)
        # transformers 5 puts both into processor_config.json, which faster-whisper and its
        # converter do not read.
        if not (directory / PREPROCESSOR).is_file():
            _save_part(self.extractor, directory)
        if not (directory / TOKENIZER).is_file():
            _save_part(self.tokenizer, directory)
        save_model(self.model, directory, tensors)

    def _target_tokens(self, example: Example) -> list[int]:
        """The text; if the prompt asks for timestamps, each sentence between its own.

        Where no times are known, the text is one sentence, as long as the speech.
        """
        if not example.prompt.timestamps:
            return self.text_tokens(example.text)
        zero = self.token("<|0.00|>")
        tokens = []
        for start_s, end_s, text in example.sentences or [(0.0, example.duration_s, example.text)]:
            start, end = (round(min(at, WINDOW_S) / TIMESTAMP_S) for at in (start_s, end_s))
            tokens += [zero + start, *self.text_tokens(text), zero + end]
        return tokens


class NoRepeat(LogitsProcessor):
    """Forbids token sequences to come twice in the text; those of the prompt may come once."""

    def __init__(self, size: int, begin: int) -> None:
        self.begin, self.inner = begin, NoRepeatNGramLogitsProcessor(size)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """See transformers' `LogitsProcessor`."""
        changed: torch.Tensor = self.inner(input_ids[:, self.begin :], scores)
        return changed


def load(directory: Path, weights: Path | None = None) -> Whisper:
    """Load a model directory in transformers' layout; see `families.load`."""
    return Whisper(directory, load_model(directory, weights), *load_front(directory))


def _save_part(part: WhisperFeatureExtractor | WhisperTokenizer, directory: Path) -> None:
    """Save a part, replacing files: those that are there may be links to a download."""
    with TemporaryDirectory(dir=directory) as temporary:
        part.save_pretrained(temporary)
        for file in Path(temporary).iterdir():
            file.replace(directory / file.name)


def _until_end(tokens: list[int], end: int) -> list[int]:
    """Tokens up to the first end token, which is kept; all of them if there is none."""
    return tokens[: tokens.index(end) + 1] if end in tokens else tokens


def _pad(rows: list[list[int]], value: int) -> torch.Tensor:
    tensors = [torch.tensor(row) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)
