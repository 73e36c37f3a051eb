"""Fun-ASR-Nano: funasr's own model class, loaded from and saved in FunASR's layout.

A model directory holds config.yaml, configuration.json, model.pt and the
language model's config and tokenizer; `funasr.AutoModel` loads it as it is.

The language model gets only the first ceil(T/8) adaptor frames
(`use_low_frame_rate`), in training and in decoding, as in funasr.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer

from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.family import Example, Search
from galgame_asr.families.common.params import CtcBranch, Prompt
from galgame_asr.families.common.text_tokens import TextTokenizer
from galgame_asr.families.common.transcript import LabelFit, Transcript
from galgame_asr.families.fun_asr_nano import alignment, ctc_branch
from galgame_asr.families.fun_asr_nano.filter_banks import FilterBanks
from galgame_asr.families.fun_asr_nano.funasr_parts import tables
from galgame_asr.families.fun_asr_nano.network import IGNORED, Model
from galgame_asr.families.fun_asr_nano.texts import DEFAULTS, refuse_timestamps, tidy
from galgame_asr.families.fun_asr_nano.weights import load_weights, read_config, save_weights
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import CheckpointError, ConfigError

PARTS = {"encoder": "audio_encoder.", "adaptor": "audio_adaptor.", "llm": "llm."}
WEIGHTS = "model.pt"
WINDOW_S = None
SYSTEM = "You are a helpful assistant."
END = "<|im_end|>"


class FunAsrNano:
    """The `Family` of Fun-ASR-Nano models."""

    parts: Mapping[str, str] = PARTS
    fixed: Sequence[str] = ()
    lora_parts: Sequence[str] = ("llm",)
    defaults: Defaults = DEFAULTS
    window_s: float | None = WINDOW_S

    def __init__(
        self,
        directory: Path,
        model: Model,
        tokenizer: Any,
        frontend: FilterBanks,
        saved: Mapping[str, torch.Tensor],
    ) -> None:
        self.directory, self.model = directory, model
        self.tokenizer, self.frontend = tokenizer, frontend
        self.saved = saved
        self.num_mels: int = frontend.n_mels
        # Of the CTC branch, once it is to be trained.
        self.ctc_tokenizer: Any = None

    @cached_property
    def text_tokens(self) -> TextTokenizer:
        """The tokens of labels and hotwords."""
        return TextTokenizer(self.tokenizer)

    @property
    def layers(self) -> list[nn.Module]:
        """See `Family`."""
        encoder = self.model.audio_encoder
        blocks = [encoder.encoders0, encoder.encoders, encoder.tp_encoders]
        adaptor = self.model.audio_adaptor.blocks or []
        return [*(layer for b in blocks for layer in b), *adaptor, *self.model.llm.model.layers]

    def features(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """Filter banks, seven frames stacked every six: (T, 560), 60 ms per frame."""
        samples = torch.from_numpy(audio)[None]
        batch, _ = self.frontend(samples, [samples.shape[1]])
        features: torch.Tensor = batch[0]
        return features

    def max_text_tokens(self, prompt: Prompt, sentences: int = 1) -> int | None:
        """See `Family`: its positions are more than a recording has words."""
        return None

    def refuse_silence(self, prompt: Prompt) -> None:
        """See `Family`: its text may end at once."""

    def training_batch(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Tensors named as funasr's `FunASRNano.forward` names them, and what ours adds.

        speech (B, T, 560), speech_lengths (B,), input_ids, attention_mask and
        labels_ids (B, S), fbank_beg and fake_token_len (B,). Right-padded.
        instruction: the tokens that all rows begin with. ctc_labels (B, L), with a CTC loss.
        """
        rows = []
        end = self.tokenizer.convert_tokens_to_ids(END)
        for example in examples:
            source, start, num_speech = self._prompt_tokens(example.features, example.prompt)
            target = [*self.text_tokens(example.text), end]
            rows.append((source, target, start, num_speech))
        batch = {
            **self._speech([example.features for example in examples]),
            "input_ids": _pad([source + target for source, target, _, _ in rows], 0),
            "attention_mask": _pad([[1] * len(s + t) for s, t, _, _ in rows], 0),
            "labels_ids": _pad([[IGNORED] * len(s) + t for s, t, _, _ in rows], IGNORED),
            "fbank_beg": torch.tensor([start for _, _, start, _ in rows]),
            "fake_token_len": torch.tensor([num for _, _, _, num in rows]),
            "instruction": _common_prefix([source[:start] for source, _, start, _ in rows]),
        }
        if self.ctc_tokenizer is not None:
            texts = [self.ctc_tokenizer.encode(example.text) for example in examples]
            batch["ctc_labels"] = _pad(texts, IGNORED)
        elif self.model.ctc_weight:
            # Without the end token, which has no sound.
            batch["ctc_labels"] = _pad([target[:-1] for _, target, _, _ in rows], IGNORED)
        return batch

    def num_labels(self, batch: Mapping[str, Any]) -> int:
        """See `Family`."""
        return int((batch["labels_ids"] != IGNORED).sum())

    def encode(self, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Family`."""
        return self.model.encode(batch["speech"], batch["speech_lengths"])

    def add_ctc_loss(self, weight: float, branch: CtcBranch | None) -> None:
        """See `Family`: the branch is that for timestamps, as config.yaml describes it."""
        if branch is None:
            self.model.add_ctc_head(weight)
            return
        config = read_config(self.directory)
        ctc_branch.refuse(self.directory, config, self.saved, branch)
        known = config.get("dataset_conf", {})
        options = known.get("ctc_tokenizer_conf", {}) | config.get("ctc_tokenizer_conf", {})
        try:
            build = tables.tokenizer_classes[(known | config)["ctc_tokenizer"]]
            self.ctc_tokenizer = build(**options)
        except (KeyError, OSError) as error:
            raise ConfigError(
                f"ctc_weight trains the CTC branch of {self.directory}, whose tokenizer cannot "
                f"be loaded ({error!r}); set ctc_weight to 0 to leave the branch as it is"
            ) from None
        tensors = self.saved if branch == "published" else None
        self.model.add_ctc_branch(config, tensors, weight)

    def transcribe(
        self, features: Sequence[torch.Tensor], prompt: Prompt, search: Search
    ) -> list[Transcript]:
        """Decode; see `Family`."""
        return self.transcribe_each(features, [prompt] * len(features), search)

    @torch.no_grad()
    def transcribe_each(
        self, features: Sequence[torch.Tensor], prompts: Sequence[Prompt], search: Search
    ) -> list[Transcript]:
        """Decode; see `EachPrompted`. Left-padded, so that every row ends where it goes on."""
        self.model.eval()
        llm, device = self.model.llm, next(self.model.parameters()).device
        rows = [self._prompt_tokens(*pair) for pair in zip(features, prompts, strict=True)]
        length = max(len(source) for source, _, _ in rows)
        starts = [length - len(source) + start for source, start, _ in rows]
        batch = {
            **self._speech(features),
            "input_ids": _pad([source for source, _, _ in rows], 0, left=True),
            "fbank_beg": torch.tensor(starts),
            "fake_token_len": torch.tensor([num for _, _, num in rows]),
        }
        batch = {name: value.to(device) for name, value in batch.items()}
        encoded, lengths = self.model.encode(batch.pop("speech"), batch.pop("speech_lengths"))
        embeddings = self.model.embed(encoded, lengths, **batch)
        mask = _pad([[1] * len(source) for source, _, _ in rows], 0, left=True)
        # The search takes the most probable token, unless it may not or looks further.
        is_greedy = search.beams == 1 and not search.no_repeat_ngram_size
        noting: AbstractContextManager[list[torch.Tensor]] = (
            _highest(llm.lm_head) if is_greedy else nullcontext([])
        )
        with noting as highest:
            found = llm.generate(
                inputs_embeds=embeddings,
                attention_mask=mask.to(device),
                max_new_tokens=max(search.max_new_tokens),
                do_sample=False,
                num_beams=search.beams,
                no_repeat_ngram_size=search.no_repeat_ngram_size,
                pad_token_id=_or_end(llm.config.pad_token_id, llm.config),
            )
        ends = set(np.atleast_1d(llm.generation_config.eos_token_id or llm.config.eos_token_id))
        tokens = [
            _until_end(row.tolist()[:limit], ends)
            for row, limit in zip(found, search.max_new_tokens, strict=True)
        ]
        if is_greedy:
            by_step = torch.stack(highest, dim=1)
            log_probs = [
                float(row[: len(own)].sum()) for row, own in zip(by_step, tokens, strict=True)
            ]
        else:
            log_probs = self._log_probs(embeddings, mask.to(device), tokens)
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        # As in FunASRNano.inference_llm: /sil is its silence mark.
        return [
            Transcript(tidy(text), len(row), log_prob)
            for text, row, log_prob in zip(texts, tokens, log_probs, strict=True)
        ]

    def _log_probs(
        self, embeddings: torch.Tensor, mask: torch.Tensor, tokens: list[list[int]]
    ) -> list[float]:
        """Log probability of each row's tokens after its prompt, whatever search found them.

        It takes one more pass through the language model.
        """
        given = _pad(tokens, 0).to(mask.device)
        real = _pad([[1] * len(row) for row in tokens], 0).to(mask.device)
        embedded = self.model.llm.get_input_embeddings()(given).to(embeddings.dtype)
        whole = torch.cat([mask, real], dim=1)
        hidden = self.model.llm.model(
            inputs_embeds=torch.cat([embeddings, embedded], dim=1),
            attention_mask=whole,
            # As in `generate`: counted over real positions alone.
            position_ids=(whole.cumsum(1) - 1).clamp(min=0),
            use_cache=False,
        ).last_hidden_state[:, embeddings.shape[1] - 1 : -1]
        is_token = real.bool()
        logits = self.model.llm.lm_head(hidden[is_token]).float()
        chosen = -nn.functional.cross_entropy(logits, given[is_token], reduction="none")
        parts = torch.split(chosen, [len(row) for row in tokens])
        return [float(part.sum()) for part in parts]

    def take_branch(self) -> bool:
        """See `Aligner`: the branch for timestamps."""
        described = read_config(self.directory).get("ctc_decoder")
        if ctc_branch.OUTPUT not in self.saved or not described:
            return False
        try:
            self.add_ctc_loss(1.0, "published")
        except (CheckpointError, ConfigError, ValueError) as error:  # no reason not to decode
            log.warning("how labels fit is not told: %s", error)
            return False
        self.model.eval()
        return True

    @torch.no_grad()
    def align(self, features: Sequence[torch.Tensor], texts: Sequence[str]) -> list[LabelFit]:
        """See `Aligner`."""
        device = next(self.model.parameters()).device
        batch = {name: value.to(device) for name, value in self._speech(features).items()}
        encoded, lengths = self.encode(batch)
        labels = [torch.tensor(self.ctc_tokenizer.encode(t), dtype=torch.long) for t in texts]
        return alignment.fits(self.model, encoded, lengths, labels, self.frontend.lfr_n)

    def save(self, directory: Path, tensors: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write a model directory: the files this one was loaded with, and the new weights."""
        if directory != self.directory:
            shutil.copytree(
                self.directory,
                directory,
                ignore=shutil.ignore_patterns(WEIGHTS, ".cache"),
                dirs_exist_ok=True,
                copy_function=shutil.copyfile,  # DVC keeps its files read-only; a copy is not
            )
        save_weights(self.model, directory / WEIGHTS, kept=self.saved, tensors=tensors)

    def _speech(self, features: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        return {
            "speech": pad_sequence(list(features), batch_first=True),
            "speech_lengths": torch.tensor([len(item) for item in features], dtype=torch.int32),
        }

    def _prompt_tokens(self, features: torch.Tensor, prompt: Prompt) -> tuple[list[int], int, int]:
        """Tokens up to where the text begins, the position of the speech in them, its length.

        Composed as in FunASRNano.data_load_speech: the parts before and after
        the speech are tokenized apart, speech positions hold token 0.
        """
        refuse_timestamps(prompt)
        user = self.model.get_prompt(list(prompt.hotwords), prompt.language, prompt.itn)
        before = self.text_tokens(
            user, after=f"<|im_start|>system\n{SYSTEM}{END}\n<|im_start|>user\n"
        )
        after = self.tokenizer.encode(f"{END}\n<|im_start|>assistant\n")
        num_speech = (
            num_speech_tokens(len(features)) if self.model.use_low_frame_rate else len(features)
        )
        return before + [0] * num_speech + after, len(before), num_speech


def num_speech_tokens(num_frames: int) -> int:
    """Adaptor frames that the language model gets: about an eighth.

    Three convolutions' worth of halving, from FunASRNano.data_load_speech.
    """
    halved = 1 + (num_frames - 3 + 2) // 2
    quartered = 1 + (halved - 3 + 2) // 2
    return (quartered - 1) // 2 + 1


def load(directory: Path, weights: Path | None = None) -> FunAsrNano:
    """Load a model directory in FunASR's layout; see `families.load`.

    The published CTC branch (timestamps) is no part of the model here: nothing
    trains it, and text does not depend on it. Its tensors are kept as they are.
    """
    config = read_config(directory)
    config.pop("ctc_decoder", None)
    # What learns must not be in bf16, whose steps are larger than most updates.
    config["llm_conf"]["llm_dtype"] = "fp32"
    tokenizer = AutoTokenizer.from_pretrained(
        config["tokenizer_conf"]["init_param_path"], local_files_only=True, trust_remote_code=False
    )
    frontend = FilterBanks(**config["frontend_conf"])
    model = Model(**config, input_size=frontend.output_size(), vocab_size=-1)
    saved = load_weights(model, weights or directory / WEIGHTS)
    return FunAsrNano(directory, model.eval(), tokenizer, frontend, saved)


def _or_end(pad: int | None, config: Any) -> int:
    token: int = config.eos_token_id if pad is None else pad
    return token


@contextmanager
def _highest(lm_head: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Note the log probability of the most probable token at each step: (B,) of each."""
    found: list[torch.Tensor] = []

    def note(_module: nn.Module, _inputs: object, logits: torch.Tensor) -> None:
        last = logits[:, -1].float()
        found.append(last.amax(-1) - last.logsumexp(-1))

    hook = lm_head.register_forward_hook(note)
    try:
        yield found
    finally:
        hook.remove()


def _until_end(tokens: list[int], ends: set[int]) -> list[int]:
    """Tokens up to the first end token, which is kept; all of them if there is none."""
    return next((tokens[: n + 1] for n, token in enumerate(tokens) if token in ends), tokens)


def _common_prefix(rows: Sequence[list[int]]) -> list[int]:
    """The items that all rows begin with."""
    equal = (len(set(column)) == 1 for column in zip(*rows, strict=False))
    end = next((n for n, same in enumerate(equal) if not same), min(map(len, rows)))
    return rows[0][:end]


def _pad(rows: list[list[int]], value: int, *, left: bool = False) -> torch.Tensor:
    tensors = [torch.tensor(row, dtype=torch.long) for row in rows]  # also of an empty text
    side = "left" if left else "right"
    return pad_sequence(tensors, batch_first=True, padding_value=value, padding_side=side)
