"""Files of a model directory in FunASR's layout: its configuration and its tensors."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from torch import nn

from galgame_asr.core.files import atomic_path
from galgame_asr.families.common import foreign, lora
from galgame_asr.families.fun_asr_nano.funasr_parts import normalize_checkpoint_state
from galgame_asr.families.fun_asr_nano.network import CTC_BRANCH, CTC_HEAD
from galgame_asr.messages.errors import CheckpointError


def read_config(directory: Path) -> dict[str, Any]:
    """Read config.yaml, with the files that configuration.json names as absolute paths.

    Raises:
        CheckpointError: a file is missing or damaged, names a directory of the language model
            or its tokenizer that is not here, or has more fetched or run (see `foreign`).
    """
    config = _read_map(directory / "config.yaml", YAML(typ="safe").load)
    entries = _read_map(directory / "configuration.json", json.loads)
    for section, files in entries.get("file_path_metas", {}).items():
        if isinstance(files, dict):
            for key, name in files.items():
                # The published config.yaml has the CTC tokenizer's section elsewhere.
                config.setdefault(section, {})[key] = str(directory / name)
    # A checkpoint of one's own training has what its trainer was told, which nobody obeys here.
    foreign.refuse(config, directory / "config.yaml", ignored=foreign.OF_A_TRAINER)
    for section in ("llm_conf", "tokenizer_conf"):
        named = (config.get(section) or {}).get("init_param_path")
        foreign.refuse_elsewhere(f"{section}.init_param_path", named, directory)
    return config


def _read_map(file: Path, read: Callable[[bytes], Any]) -> dict[str, Any]:
    try:
        found = read(file.read_bytes())  # both formats take a byte order mark off
    except FileNotFoundError:
        raise CheckpointError(
            f"{file.parent} is no FunASR model directory: {file} is missing"
        ) from None
    except (YAMLError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{file} is {type(found).__name__}; allowed: a map")
    return found


def save_weights(
    model: nn.Module,
    file: Path,
    *,
    kept: Mapping[str, torch.Tensor] | None = None,
    tensors: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write a model's tensors as FunASR does, {"state_dict": ...}; equal tensors, equal bytes.

    Args:
        model: a `Model`. Adapters are folded into the layers they stand beside.
        file: where to write.
        kept: the tensors of the file it was loaded from. What did not learn goes
            back as it was there, in its type; so does what is no part of the model.
        tensors: the model's state, where several processes hold parts of it.
    """
    kept = dict(kept or {})
    state, folded = dict(tensors or model.state_dict()), set[str]()
    if any(".lora_" in name for name in state):
        state, folded = lora.merge(model, state)
    parameters = model.named_parameters(remove_duplicate=False)
    frozen = {n.replace(lora.BASE, ".") for n, p in parameters if not p.requires_grad} - folded
    # By place in memory: tied tensors stay one, which the file then holds once.
    converted: dict[tuple[object, ...], torch.Tensor] = {}
    weights = {}
    for name, tensor in state.items():
        if name.startswith(CTC_HEAD):
            continue
        dtype = kept[name].dtype if name in frozen and name in kept else tensor.dtype
        place = (tensor.data_ptr(), tensor.shape, dtype)
        weights[name] = converted.setdefault(place, tensor.to("cpu", dtype))
    weights |= {n: t for n, t in kept.items() if n.startswith(CTC_BRANCH) and n not in weights}
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
    saved = read_weights(file)
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


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """The map of tensors in a checkpoint file; see `load_weights`."""
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
