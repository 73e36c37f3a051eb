"""The network of Whisper: transformers' own class, made fit for training, and its files."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from galgame_asr.core.files import atomic_path, write_text
from galgame_asr.families.common import lora
from galgame_asr.messages.errors import CheckpointError

IGNORED = -100  # label of a position without loss, as in torch and transformers
WEIGHTS, CONFIG, GENERATION = "model.safetensors", "config.json", "generation_config.json"
# The output layer is the embedding of the decoder's tokens; files hold that one alone.
TIED = "proj_out.weight"
# Positions of the encoder's frames: a formula, no parameters. They must never learn, yet
# transformers says so of a new model only, not of a loaded one.
SINUSOIDS = "model.encoder.embed_positions.weight"


class Model(WhisperForConditionalGeneration):  # type: ignore[no-untyped-call]
    """transformers' class with the same parameters and results, and these changes.

    - Frozen parts stay in eval mode while the rest trains.
    - With `labels`, logits are computed at label positions only, and `encoded` may stand
      for the encoder's output.
    """

    def train(self, mode: bool = True) -> "Model":
        """Set training mode, except for parts whose parameters are all frozen."""
        super().train(mode)
        for part in (self.model.encoder, self.model.decoder):
            if not any(p.requires_grad for p in part.parameters()):
                part.eval()
        return self

    def forward(
        self,
        input_features: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        encoded: torch.Tensor | None = None,
        encoder_outputs: Any = None,  # named, or `generate` takes it for a misspelling
        **arguments: Any,
    ) -> Any:
        """Mean cross entropy over label tokens; without labels, what transformers gives.

        Args:
            input_features: features (B, mels, T).
            decoder_input_ids: tokens (B, S).
            labels: token to predict at each of them, or `IGNORED` (B, S).
            encoded: what the encoder gave for this batch earlier, if it is known.
            encoder_outputs: as in transformers' class.
            arguments: others of transformers' class.
        """
        if labels is None:
            return super().forward(
                input_features,
                decoder_input_ids=decoder_input_ids,
                encoder_outputs=encoder_outputs,
                **arguments,
            )
        if encoded is None:
            encoded = self.model.encoder(input_features).last_hidden_state
        hidden = self.model.decoder(
            input_ids=decoder_input_ids, encoder_hidden_states=encoded, use_cache=False
        ).last_hidden_state
        states, targets = self._at_labels(hidden, labels)
        logits = self.proj_out(states)
        return {"loss": nn.functional.cross_entropy(logits.float(), targets)}

    def _at_labels(
        self, hidden: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """States (N, width) and tokens (N,) at the positions that have a label."""
        is_label = labels != IGNORED
        return hidden[is_label], labels[is_label]


def load_model(directory: Path, weights: Path | None = None) -> Model:
    """Load a model directory as transformers writes it, in float32.

    Raises:
        CheckpointError: a file is missing or damaged, tensors are missing, unexpected or
            of another shape, or the model knows no languages.
    """
    for name in (CONFIG, GENERATION):
        if not (directory / name).is_file():
            raise CheckpointError(
                f"{directory} is no Whisper model directory: {name} is missing; "
                "WhisperForConditionalGeneration.save_pretrained writes it"
            )
    try:
        config = WhisperConfig.from_pretrained(directory, local_files_only=True)
        generation_config = GenerationConfig.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{directory}: {CONFIG} or {GENERATION} is damaged: {error}"
        ) from None
    # What augments speech here are the phase's own settings, whose draws can be resumed.
    config.apply_spec_augment = False
    with torch.device("meta"):
        model = Model(config)
    source = weights or directory / WEIGHTS
    saved = {name: tensor.float() for name, tensor in _read(source).items() if name != TIED}
    _refuse_other(model, saved, source)
    model.load_state_dict(saved, strict=False, assign=True)
    model.tie_weights()
    model.generation_config = generation_config
    if not getattr(model.generation_config, "lang_to_id", None):
        raise CheckpointError(
            f"{directory / GENERATION} has no lang_to_id; only multilingual Whisper models, "
            "whose generation_config.json lists their languages, can be used"
        )
    model.train(False)
    return model


def save_model(model: Model, directory: Path, tensors: Mapping[str, torch.Tensor] | None) -> None:
    """Write model.safetensors in float32, adapters folded in, and say so in config.json."""
    state = dict(tensors or model.state_dict())
    if any(".lora_" in name for name in state):
        state, _ = lora.merge(model, state)
    state.pop(TIED, None)
    whole = {name: tensor.detach().float().cpu().contiguous() for name, tensor in state.items()}
    with atomic_path(directory / WEIGHTS) as temporary:
        try:
            save_file(whole, temporary, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(f"{directory / WEIGHTS}: {error}") from error
    values = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    values.pop("torch_dtype", None)  # as earlier versions name it
    values |= {"dtype": "float32"}
    write_text(directory / CONFIG, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def copy_other_files(source: Path, target: Path) -> None:
    """Copy a model directory without its weights, in whatever format they are."""
    weights = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")
    shutil.copytree(
        source,
        target,
        ignore=shutil.ignore_patterns(*weights, "*.msgpack", "*.h5", ".cache"),
        dirs_exist_ok=True,
        copy_function=shutil.copyfile,  # DVC keeps its files read-only; a copy is not
    )


def _read(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file, or of all that its index names."""
    index = file.with_name(f"{file.name}.index.json")
    try:
        if not file.is_file() and index.is_file():
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
            parts = [load_file(file.with_name(name)) for name in names]
            return {name: tensor for part in parts for name, tensor in part.items()}
        tensors: dict[str, torch.Tensor] = load_file(file)
    except FileNotFoundError:
        raise CheckpointError(
            f"{file} is missing; transformers' save_pretrained writes weights as safetensors"
        ) from None
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{file} cannot be read as a checkpoint: {error}") from None
    return tensors


def _refuse_other(model: Model, saved: Mapping[str, torch.Tensor], file: Path) -> None:
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items() if name != TIED}
    problems = {
        "missing": [name for name in wanted if name not in saved],
        "unexpected": [name for name in saved if name not in wanted],
        "of another shape": [
            f"{name} {tuple(saved[name].shape)} instead of {tuple(shape)}"
            for name, shape in wanted.items()
            if name in saved and saved[name].shape != shape
        ],
    }
    if found := "; ".join(
        f"{len(names)} {what}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
        for what, names in problems.items()
        if names
    ):
        raise CheckpointError(f"{file} does not fit the model in {file.parent}: {found}")
