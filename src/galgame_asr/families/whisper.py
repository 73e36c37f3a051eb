"""Whisper: transformers' own model class, loaded from and saved in transformers' layout.

A model directory is one that `WhisperForConditionalGeneration.from_pretrained` loads,
with preprocessor_config.json and tokenizer.json for faster-whisper and its converter.

Speech is always padded with silence to 30 s. Features are kept without that padding,
which is one value, so that caches stay small and SpecAugment masks speech.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
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
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from galgame_asr.decoding.transcript import Transcript
from galgame_asr.errors import CheckpointError, ConfigError, DataError
from galgame_asr.families import Example, Search
from galgame_asr.families.whisper_model import (
    IGNORED,
    SINUSOIDS,
    Model,
    copy_other_files,
    load_model,
    save_model,
)
from galgame_asr.params.prompts import Prompt

PARTS = {"encoder": "model.encoder.", "decoder": "model.decoder."}
WINDOW_S = 30.0
SAMPLE_RATE_HZ = 16_000
PREPROCESSOR, TOKENIZER = "preprocessor_config.json", "tokenizer.json"
TIMESTAMP_S = 0.02  # between two timestamp tokens
# Samples between two frames, and half of those that a frame sees.
HOP, HALF_WINDOW = 160, 200


class Whisper:
    """The `Family` of multilingual Whisper models."""

    parts: Mapping[str, str] = PARTS
    fixed: Sequence[str] = (SINUSOIDS,)
    lora_parts: Sequence[str] = tuple(PARTS)
    window_s: float | None = WINDOW_S

    def __init__(
        self,
        directory: Path,
        model: Model,
        tokenizer: WhisperTokenizer,
        extractor: WhisperFeatureExtractor,
    ) -> None:
        self.directory, self.model = directory, model
        self.tokenizer, self.extractor = tokenizer, extractor
        self.num_mels: int = model.config.num_mel_bins
        self.languages: Mapping[str, int] = model.generation_config.to_dict()["lang_to_id"]

    @property
    def layers(self) -> list[nn.Module]:
        """See `Family`."""
        return [*self.model.model.encoder.layers, *self.model.model.decoder.layers]

    def features(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """Log-mel features (T, mels) of the speech and one frame of silence, 10 ms each.

        Raises:
            DataError: it is longer than the model hears.
        """
        if len(audio) > WINDOW_S * SAMPLE_RATE_HZ + HOP:
            raise DataError(
                f"{len(audio) / SAMPLE_RATE_HZ:.2f} s of audio; Whisper hears {WINDOW_S:g} s: "
                "cut it into pieces"
            )
        found = self.extractor(audio, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        frames: torch.Tensor = found.input_features[0].T
        heard = math.ceil((len(audio) + HALF_WINDOW) / HOP)
        return frames[: heard + 1].clone()

    def training_batch(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Arguments of `Model`: input_features (B, mels, 3000), decoder_input_ids and labels.

        decoder_input_ids and labels (B, S) are right-padded; labels are the text and its end.
        """
        rows = []
        for example in examples:
            source = self.prompt_tokens(example.prompt)
            target = [*self._target_tokens(example), self.end]
            if len(source) + len(target) - 1 > self.model.config.max_target_positions:
                raise DataError(
                    f"utterance {example.id}: {len(source)} tokens of prompt and {len(target)} "
                    f"of text; Whisper takes {self.model.config.max_target_positions} together"
                )
            rows.append((source, target))
        return {
            "input_features": pad([example.features for example in examples]),
            "decoder_input_ids": _pad([s + t[:-1] for s, t in rows], self.end),
            "labels": _pad([[IGNORED] * (len(s) - 1) + t for s, t in rows], IGNORED),
        }

    @property
    def end(self) -> int:
        """The token that ends a text."""
        return self._token("<|endoftext|>")

    def encode(self, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Family`; padding is heard, so all are equally long."""
        encoded = self.model.model.encoder(batch["input_features"]).last_hidden_state
        return encoded, torch.full((len(encoded),), encoded.shape[1])

    def add_ctc_loss(self, weight: float) -> None:
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
        start = torch.full((len(encoded), 1), self._token("<|startoftranscript|>"))
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
            self.extractor.save_pretrained(directory)
        if not (directory / TOKENIZER).is_file():
            self.tokenizer.save_pretrained(directory)
        save_model(self.model, directory, tensors)

    def prompt_tokens(self, prompt: Prompt, language: int | None = None) -> list[int]:
        """The tokens before the text; `language` is one that was detected.

        Raises:
            ConfigError: Whisper cannot be asked for what the prompt says.
        """
        if not prompt.itn:
            raise ConfigError("itn: false: Whisper cannot be told so; leave itn out of its prompts")
        if prompt.language is not None:
            language = self._language(prompt.language)
        if language is None:
            raise ConfigError(
                "language is null: Whisper is trained with the token of a language, which only "
                "decoding can detect; write, for example, language: ja in the phase's prompts"
            )
        earlier = []
        if prompt.hotwords:
            words = self.tokenizer.encode(hotwords_text(prompt), add_special_tokens=False)
            room = self.model.config.max_target_positions // 2 - 1
            if len(words) > room:
                raise ConfigError(
                    f"hotwords are {len(words)} tokens; Whisper takes {room}: name fewer"
                )
            earlier = [self._token("<|startofprev|>"), *words]
        task = [self._token("<|transcribe|>")]
        if not prompt.timestamps:
            task.append(self._token("<|notimestamps|>"))
        return [*earlier, self._token("<|startoftranscript|>"), language, *task]

    def _language(self, name: str) -> int:
        code = TO_LANGUAGE_CODE.get(name.lower(), name.lower())
        if f"<|{code}|>" not in self.languages:
            codes = ", ".join(sorted(key.strip("<|>") for key in self.languages))
            raise ConfigError(
                f"language '{name}' is none that this Whisper knows; write its code or English "
                f"name, such as ja or japanese: {codes}"
            )
        return self.languages[f"<|{code}|>"]

    def _target_tokens(self, example: Example) -> list[int]:
        """The text, between its timestamps if the prompt asks for them."""
        tokens: list[int] = self.tokenizer.encode(example.text, add_special_tokens=False)
        if not example.prompt.timestamps:
            return tokens
        first = self._token("<|0.00|>")
        end = round(min(example.duration_s, WINDOW_S) / TIMESTAMP_S)
        return [first, *tokens, first + end]

    def _token(self, name: str) -> int:
        return cast("int", self.tokenizer.convert_tokens_to_ids(name))


class NoRepeat(LogitsProcessor):
    """Forbids token sequences to come twice in the text; those of the prompt may come once."""

    def __init__(self, size: int, begin: int) -> None:
        self.begin, self.inner = begin, NoRepeatNGramLogitsProcessor(size)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """See transformers' `LogitsProcessor`."""
        changed: torch.Tensor = self.inner(input_ids[:, self.begin :], scores)
        return changed


def hotwords_text(prompt: Prompt) -> str:
    """Hotwords as the text said before; faster-whisper composes the same of `hotwords`."""
    return " " + "、".join(prompt.hotwords)


def pad(features: Sequence[torch.Tensor]) -> torch.Tensor:
    """A batch as the encoder takes it: (B, mels, 3000), silence where speech has ended.

    Silence is the smallest value that the features of an utterance can have.
    """
    frames = round(WINDOW_S * SAMPLE_RATE_HZ / HOP)
    batch = torch.stack([item.min().expand(frames, item.shape[1]).clone() for item in features])
    for row, item in zip(batch, features, strict=True):
        row[: len(item)] = item[:frames]
    return batch.transpose(1, 2).contiguous()


def load(directory: Path, weights: Path | None = None) -> Whisper:
    """Load a model directory in transformers' layout; see `families.load`."""
    model = load_model(directory, weights)
    try:
        tokenizer = WhisperTokenizer.from_pretrained(directory, local_files_only=True)
        extractor = WhisperFeatureExtractor.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{directory} has no usable tokenizer or {PREPROCESSOR}: {error}"
        ) from None
    return Whisper(directory, model, tokenizer, extractor)


def _until_end(tokens: list[int], end: int) -> list[int]:
    """Tokens up to the first end token, which is kept; all of them if there is none."""
    return tokens[: tokens.index(end) + 1] if end in tokens else tokens


def _pad(rows: list[list[int]], value: int) -> torch.Tensor:
    tensors = [torch.tensor(row) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)
