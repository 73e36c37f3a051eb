"""Fun-ASR-Nano: funasr's own model class, loaded from and saved in FunASR's layout.

A model directory holds config.yaml, configuration.json, model.pt and the
language model's config and tokenizer; `funasr.AutoModel` loads it as it is.

The language model gets only the first ceil(T/8) adaptor frames
(`use_low_frame_rate`), in training and in decoding, as in funasr.
"""

import contextlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from ruamel.yaml import YAML
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer

from galgame_asr.decoding.transcript import Transcript
from galgame_asr.errors import CheckpointError
from galgame_asr.families import Example, Search
from galgame_asr.files import atomic_path
from galgame_asr.params.prompts import Prompt

# `import funasr` imports each of its several hundred modules, which takes longer than many
# a stage. The walk is left out; what Fun-ASR-Nano is made of is imported by name.
# Its notice about ffmpeg does not apply: audio is read with soundfile.
with (
    mock.patch("pkgutil.walk_packages", return_value=()),
    contextlib.redirect_stdout(io.StringIO()),
):
    import funasr.models.llm_asr.adaptor  # registers the adaptor
    import funasr.models.sense_voice.model  # noqa: F401  registers the encoder
    from funasr.frontends.wav_frontend import WavFrontend
    from funasr.models.fun_asr_nano.checkpoint_utils import normalize_checkpoint_state
    from funasr.models.fun_asr_nano.model import FunASRNano

PARTS = {"encoder": "audio_encoder.", "adaptor": "audio_adaptor.", "llm": "llm."}
WEIGHTS = "model.pt"
IGNORED = -100  # label of a position without loss, as in torch and transformers
SYSTEM = "You are a helpful assistant."
# Prefix of training-only parameters.
CTC_HEAD = "ctc_head."
# Prefixes of the published branch for timestamps.
CTC_BRANCH = ("ctc_decoder.", "ctc.")


class Model(FunASRNano):  # type: ignore[misc]
    """funasr's class with the same parameters and results, and four changes.

    - Padded encoder frames are zeroed: an adaptor that stacks frames
      (`downsample_rate` above 1) would mix them into the last real ones.
    - Frozen parts stay in eval mode while the rest trains.
    - Logits are computed at label positions only.
    - Inputs are not changed in place, and an auxiliary CTC loss can be added.
    """

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.ctc_head: nn.Linear | None = None
        self.ctc_weight = 0.0

    def encode(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode features (B, T, D) to (B, T, encoder dim), zero beyond each length."""
        # The encoder scales its input in place.
        encoded, lengths = super().encode(speech.clone(), speech_lengths)
        real = torch.arange(encoded.shape[1], device=encoded.device) < lengths[:, None]
        return encoded * real[..., None].to(encoded.dtype), lengths

    def train(self, mode: bool = True) -> "Model":
        """Set training mode, except for parts whose parameters are all frozen."""
        super().train(mode)
        for part in (self.audio_encoder, self.audio_adaptor, self.llm):
            if not any(p.requires_grad for p in part.parameters()):
                part.eval()
        return self

    def embed(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        input_ids: torch.Tensor,
        fbank_beg: torch.Tensor,
        fake_token_len: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Embed tokens with speech in its place.

        Args:
            speech: features (B, T, D).
            speech_lengths: real frames (B,).
            input_ids: tokens (B, S).
            fbank_beg: position of the first speech frame among the tokens (B,).
            fake_token_len: number of speech positions (B,).

        Returns:
            Embeddings (B, S, LLM dim), encoder output (B, T, encoder dim) and its lengths (B,).
        """
        encoded, lengths = self.encode(speech, speech_lengths)
        heard, _ = self.audio_adaptor(encoded, lengths)
        embeddings = self.llm.get_input_embeddings()(input_ids)
        frame = torch.arange(input_ids.shape[1], device=input_ids.device) - fbank_beg[:, None]
        is_speech = (frame >= 0) & (frame < fake_token_len[:, None])
        index = frame.clamp(0, heard.shape[1] - 1)[..., None].expand(-1, -1, heard.shape[2])
        speech_embeddings = heard.gather(1, index).to(embeddings.dtype)
        return torch.where(is_speech[..., None], speech_embeddings, embeddings), encoded, lengths

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels_ids: torch.Tensor,
        fbank_beg: torch.Tensor,
        fake_token_len: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Mean cross entropy over label tokens; arguments as in `training_batch`."""
        embeddings, encoded, lengths = self.embed(
            speech, speech_lengths, input_ids, fbank_beg, fake_token_len
        )
        hidden = self.llm.model(
            inputs_embeds=embeddings, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state
        # The state at a position predicts the next token.
        targets = labels_ids[:, 1:]
        is_label = targets != IGNORED
        logits = self.llm.lm_head(hidden[:, :-1][is_label])
        loss = nn.functional.cross_entropy(logits.float(), targets[is_label])
        if self.ctc_head is not None:
            loss = loss + self.ctc_weight * self._ctc_loss(encoded, lengths, labels_ids)
        return {"loss": loss}

    def _ctc_loss(
        self, encoded: torch.Tensor, lengths: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        assert self.ctc_head is not None
        log_probs = self.ctc_head(encoded).float().log_softmax(-1).transpose(0, 1)
        # The end token has no sound; the pad token, id 0 in no text, is the blank.
        texts = [row[row != IGNORED][:-1] for row in labels]
        return nn.functional.ctc_loss(
            log_probs,
            torch.cat(texts),
            lengths.long(),
            torch.tensor([len(text) for text in texts]),
            blank=self.llm.config.pad_token_id,
            zero_infinity=True,
        )


class FunAsrNano:
    """The `Family` of Fun-ASR-Nano models."""

    parts: Mapping[str, str] = PARTS

    def __init__(
        self,
        directory: Path,
        model: Model,
        tokenizer: Any,
        frontend: WavFrontend,
        saved: Mapping[str, torch.Tensor],
    ) -> None:
        self.directory, self.model = directory, model
        self.tokenizer, self.frontend = tokenizer, frontend
        self.saved = saved

    def features(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """Filter banks, seven frames stacked every six: (T, 560), 60 ms per frame."""
        samples = torch.from_numpy(audio)[None]
        batch, _ = self.frontend(samples, [samples.shape[1]])
        features: torch.Tensor = batch[0]
        return features

    def training_batch(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Tensors named as funasr's `FunASRNano.forward` names them.

        speech (B, T, 560), speech_lengths (B,), input_ids, attention_mask and
        labels_ids (B, S), fbank_beg and fake_token_len (B,). Right-padded.
        """
        rows = []
        for example in examples:
            source, start, num_speech = self._prompt_tokens(example.features, example.prompt)
            target = self.tokenizer.encode(f"{example.text}<|im_end|>")
            rows.append((source, target, start, num_speech))
        return {
            **self._speech([example.features for example in examples]),
            "input_ids": _pad([source + target for source, target, _, _ in rows], 0),
            "attention_mask": _pad([[1] * len(s + t) for s, t, _, _ in rows], 0),
            "labels_ids": _pad([[IGNORED] * len(s) + t for s, t, _, _ in rows], IGNORED),
            "fbank_beg": torch.tensor([start for _, _, start, _ in rows]),
            "fake_token_len": torch.tensor([num for _, _, _, num in rows]),
        }

    def add_ctc_head(self, weight: float) -> None:
        """Add a linear CTC head over the language model's tokens; see `Family`."""
        width = self.model.audio_encoder.output_size()
        self.model.ctc_head = nn.Linear(width, self.model.llm.config.vocab_size)
        self.model.ctc_weight = weight

    @torch.no_grad()
    def transcribe(
        self, features: Sequence[torch.Tensor], prompt: Prompt, search: Search
    ) -> list[Transcript]:
        """Decode; see `Family`. Left-padded, so that every row ends where it goes on."""
        self.model.eval()
        llm, device = self.model.llm, next(self.model.parameters()).device
        rows = [self._prompt_tokens(item, prompt) for item in features]
        length = max(len(source) for source, _, _ in rows)
        starts = [length - len(source) + start for source, start, _ in rows]
        batch = {
            **self._speech(features),
            "input_ids": _pad([source for source, _, _ in rows], 0, left=True),
            "fbank_beg": torch.tensor(starts),
            "fake_token_len": torch.tensor([num for _, _, num in rows]),
        }
        embeddings, _, _ = self.model.embed(**{k: v.to(device) for k, v in batch.items()})
        mask = _pad([[1] * len(source) for source, _, _ in rows], 0, left=True)
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
        log_probs = self._log_probs(embeddings, mask.to(device), tokens)
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        # As in FunASRNano.inference_llm: /sil is its silence mark.
        return [
            Transcript(re.sub(r"\s+", " ", text.replace("/sil", " ")), len(row), log_prob)
            for text, row, log_prob in zip(texts, tokens, log_probs, strict=True)
        ]

    def _log_probs(
        self, embeddings: torch.Tensor, mask: torch.Tensor, tokens: list[list[int]]
    ) -> list[float]:
        """Log probability of each row's tokens after its prompt, whatever search found them."""
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

    def save(self, directory: Path) -> None:
        """Write a model directory: the files this one was loaded with, and the new weights."""
        if directory != self.directory:
            shutil.copytree(
                self.directory,
                directory,
                ignore=shutil.ignore_patterns(WEIGHTS, ".cache"),
                dirs_exist_ok=True,
                copy_function=shutil.copyfile,  # DVC keeps its files read-only; a copy is not
            )
        save_weights(self.model, directory / WEIGHTS, kept=self.saved)

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
        user = self.model.get_prompt(list(prompt.hotwords), prompt.language, prompt.itn)
        before = self.tokenizer.encode(
            f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{user}"
        )
        after = self.tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n")
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
        config["tokenizer_conf"]["init_param_path"], local_files_only=True
    )
    frontend = WavFrontend(**config["frontend_conf"] | {"dither": 0.0})
    model = Model(**config, input_size=frontend.output_size(), vocab_size=-1)
    saved = load_weights(model, weights or directory / WEIGHTS)
    return FunAsrNano(directory, model.eval(), tokenizer, frontend, saved)


def read_config(directory: Path) -> dict[str, Any]:
    """Read config.yaml, with the files that configuration.json names as absolute paths.

    Raises:
        CheckpointError: a file is missing.
    """
    try:
        config: dict[str, Any] = YAML(typ="safe").load(directory / "config.yaml")
        entries = json.loads((directory / "configuration.json").read_text())["file_path_metas"]
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{directory} is no FunASR model directory: {error.filename} is missing"
        ) from None
    for section, files in entries.items():
        if isinstance(files, dict):
            for key, name in files.items():
                # The published config.yaml has the CTC tokenizer's section elsewhere.
                config.setdefault(section, {})[key] = str(directory / name)
    return config


def save_weights(
    model: nn.Module, file: Path, *, kept: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Write a model's tensors as FunASR does, {"state_dict": ...}; equal tensors, equal bytes.

    Args:
        model: a `Model`.
        file: where to write.
        kept: the tensors of the file it was loaded from. What did not learn goes
            back as it was there, in its type; so does what is no part of the model.
    """
    kept = dict(kept or {})
    parameters = model.named_parameters(remove_duplicate=False)
    frozen = {name for name, p in parameters if not p.requires_grad}
    # By place in memory: tied tensors stay one, which the file then holds once.
    converted: dict[tuple[object, ...], torch.Tensor] = {}
    weights = {}
    for name, tensor in model.state_dict().items():
        if name.startswith(CTC_HEAD):
            continue
        dtype = kept[name].dtype if name in frozen and name in kept else tensor.dtype
        place = (tensor.data_ptr(), tensor.shape, dtype)
        weights[name] = converted.setdefault(place, tensor.to(dtype))
    weights |= {name: kept[name] for name in kept if name.startswith(CTC_BRANCH)}
    with atomic_path(file) as temporary, temporary.open("wb") as stream:
        # Through a stream: a path's name would become part of the bytes.
        torch.save({"state_dict": weights}, stream)


def load_weights(model: nn.Module, file: Path) -> dict[str, torch.Tensor]:
    """Load a FunASR checkpoint file into a model.

    The map of tensors may be wrapped as FunASR ("state_dict", "model_state_dict",
    "model") or DeepSpeed ("module") save it, and its names may begin with
    "module.", as of a model on several GPUs.

    Returns:
        the tensors of the file, also those of the CTC branch.

    Raises:
        CheckpointError: the file is missing or damaged, or a tensor is missing,
            unexpected or of another shape.
    """
    saved = _read(file)
    wanted = model.state_dict()
    problems = {
        "missing": [name for name in wanted if name not in saved],
        "unexpected": [n for n in saved if n not in wanted and not n.startswith(CTC_BRANCH)],
        "of another shape": [
            f"{name} {tuple(saved[name].shape)} instead of {tuple(wanted[name].shape)}"
            for name in wanted
            if name in saved and saved[name].shape != wanted[name].shape
        ],
    }
    if any(problems.values()):
        found = "; ".join(
            f"{len(names)} {what}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
            for what, names in problems.items()
            if names
        )
        raise CheckpointError(f"{file} does not fit the model in {file.parent}: {found}")
    model.load_state_dict({name: saved[name] for name in wanted})
    return saved


def _read(file: Path) -> dict[str, torch.Tensor]:
    """The map of tensors in a checkpoint file."""
    try:
        # Mapped, a file of gigabytes is in memory once. Only zip files can be.
        mapped = zipfile.is_zipfile(file)
        saved = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except FileNotFoundError:
        raise CheckpointError(f"{file} is missing") from None
    except Exception as error:  # zip, pickle and torch errors have no common base
        raise CheckpointError(f"{file} cannot be read as a checkpoint: {error}") from None
    if isinstance(saved, dict) and isinstance(saved.get("module"), dict):
        saved = saved["module"]
    if not isinstance(saved, dict):
        raise CheckpointError(f"{file} holds a {type(saved).__name__}, not a map of tensors")
    tensors: dict[str, torch.Tensor] = normalize_checkpoint_state(saved)
    others = [name for name, value in tensors.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise CheckpointError(f"{file} holds what is no tensor: {', '.join(map(str, others[:5]))}")
    return tensors


def _or_end(pad: int | None, config: Any) -> int:
    token: int = config.eos_token_id if pad is None else pad
    return token


def _until_end(tokens: list[int], ends: set[int]) -> list[int]:
    """Tokens up to the first end token, which is kept; all of them if there is none."""
    return next((tokens[: n + 1] for n, token in enumerate(tokens) if token in ends), tokens)


def _pad(rows: list[list[int]], value: int, *, left: bool = False) -> torch.Tensor:
    tensors = [torch.tensor(row) for row in rows]
    side = "left" if left else "right"
    return pad_sequence(tensors, batch_first=True, padding_value=value, padding_side=side)
