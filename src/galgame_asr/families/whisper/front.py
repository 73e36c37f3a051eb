"""What goes into a Whisper, whatever runtime it is in: features of speech, and the prompt.

Speech is always padded with silence to 30 s. Features are kept without that padding,
which is one value, so that caches stay small and SpecAugment masks speech.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import WhisperFeatureExtractor, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.text_tokens import TextTokenizer
from galgame_asr.messages.errors import CheckpointError, ConfigError, DataError

PREPROCESSOR = "preprocessor_config.json"
WINDOW_S = 30.0
# Japanese, which this project is about; without a language, Whisper detects one for each piece.
DEFAULTS = Defaults(prompts=(Prompt(language="ja"),), max_segment_s=WINDOW_S)
SAMPLE_RATE_HZ = 16_000
# Samples between two frames, and half of those that a frame sees.
HOP, HALF_WINDOW = 160, 200


class FrontEnd:
    """Features and prompts of a multilingual Whisper.

    Args:
        tokenizer: the checkpoint's own.
        extractor: of its features.
        languages: the token of each language, by its name: <|ja|>.
        positions: the longest sequence of tokens, prompt included.
    """

    def __init__(
        self,
        tokenizer: WhisperTokenizer,
        extractor: WhisperFeatureExtractor,
        languages: Mapping[str, int],
        positions: int,
    ) -> None:
        self.tokenizer, self.extractor = tokenizer, extractor
        self.languages, self.positions = languages, positions

    @cached_property
    def text_tokens(self) -> TextTokenizer:
        """The tokens of labels and hotwords."""
        return TextTokenizer(self.tokenizer)

    @property
    def end(self) -> int:
        """The token that ends a text."""
        return self.token("<|endoftext|>")

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
        heard = math.ceil((len(audio) + HALF_WINDOW) / HOP)
        # What would pad it to 30 s is not computed.
        wanted = min((heard + 1) * HOP, round(WINDOW_S * SAMPLE_RATE_HZ))
        found = self.extractor(
            np.pad(audio, (0, max(wanted - len(audio), 0))),
            sampling_rate=SAMPLE_RATE_HZ, padding="longest", return_tensors="pt",
        )  # fmt: skip
        frames: torch.Tensor = found.input_features[0].T
        return frames.contiguous()

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
            words = self.text_tokens(hotwords_text(prompt))
            room = self.positions // 2 - 1
            if len(words) > room:
                raise ConfigError(
                    f"hotwords are {len(words)} tokens; Whisper takes {room}: name fewer"
                )
            earlier = [self.token("<|startofprev|>"), *words]
        task = [self.token("<|transcribe|>")]
        if not prompt.timestamps:
            task.append(self.token("<|notimestamps|>"))
        return [*earlier, self.token("<|startoftranscript|>"), language, *task]

    def token(self, name: str) -> int:
        """The number of a special token."""
        return cast("int", self.tokenizer.convert_tokens_to_ids(name))

    def _language(self, name: str) -> int:
        code = TO_LANGUAGE_CODE.get(name.lower(), name.lower())
        if f"<|{code}|>" not in self.languages:
            codes = ", ".join(sorted(key.strip("<|>") for key in self.languages))
            raise ConfigError(
                f"language '{name}' is none that this Whisper knows; write its code or English "
                f"name, such as ja or japanese: {codes}"
            )
        return self.languages[f"<|{code}|>"]


def load_front(directory: Path) -> tuple[WhisperTokenizer, WhisperFeatureExtractor]:
    """Load the tokenizer and the extractor of features of a directory.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    try:
        return (
            WhisperTokenizer.from_pretrained(directory, local_files_only=True),
            WhisperFeatureExtractor.from_pretrained(directory, local_files_only=True),
        )
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{directory} has no usable tokenizer or {PREPROCESSOR}: {error}"
        ) from None


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
