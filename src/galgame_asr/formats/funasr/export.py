"""Fun-ASR-Nano for `funasr.AutoModel`: a directory as the published ones, whole in itself.

The weights are one file. `AutoModel` takes the path of one (`init_param`; funasr 1.4.16,
auto/auto_model.py: a list is a TypeError, and a name with commas loads nothing and goes on
with random weights), so shards would be files that nothing loads. A hub needs none:
huggingface_hub sends a large file in parts.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from galgame_asr.core.files import atomic_path, write_text
from galgame_asr.families.common.family import FrontEnd
from galgame_asr.families.fun_asr_nano import ctc_branch
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.family import WEIGHTS
from galgame_asr.families.fun_asr_nano.funasr_parts import normalize_checkpoint_state
from galgame_asr.formats.common import checkpoint as fun_asr_nano_exportable
from galgame_asr.messages.errors import ExportError

RUNTIME = "funasr"
PACKAGE = "funasr"
CONFIG, CONFIGURATION = "config.yaml", "configuration.json"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# What a trainer's config.yaml may say of the machine that it ran on, or have run there.
NOT_OF_THE_MODEL = (
    "init_param", "model_path", "model_revision", "output_dir", "remote_code", "resume",
    "train_data_set_list", "trust_remote_code", "valid_data_set_list",
)  # fmt: skip
# Of `dataset_conf`: `AutoModel` would say something before the speech that training did not.
PROMPT_KEYS = ("do_think", "sys_prompt")


def export(checkpoint: Path, output: Path, precision: str) -> None:
    """Write a Fun-ASR-Nano as it is published.

    Args:
        checkpoint: a model directory in FunASR's layout.
        output: an empty directory; the same checkpoint gives the same bytes.
        precision: of all weights, float32 or bfloat16. `AutoModel` computes in float32
            with both, unless it is told otherwise.

    Raises:
        CheckpointError: tensors are missing or do not fit; AutoModel would say nothing.
        ExportError: the checkpoint is of another family, has adapters, or names files
            outside its directory.
    """
    fun_asr_nano_exportable.check(checkpoint, "funasr")
    config: dict[str, Any] = YAML(typ="safe").load(checkpoint / CONFIG)
    configuration = json.loads((checkpoint / CONFIGURATION).read_bytes())
    metas = configuration["file_path_metas"] = {
        **configuration["file_path_metas"], "init_param": WEIGHTS, "config": CONFIG,
    }  # fmt: skip
    named = _named(checkpoint, metas)
    config = _config(config, metas, checkpoint)
    nano = fun_asr_nano.load(checkpoint)  # which finds what is missing
    if ctc_branch.OUTPUT in nano.saved:
        ctc_branch.say_if_given_away(checkpoint)  # where the export's own config no longer tells
    for name in sorted(named):
        _copy(checkpoint / name, output / name)
    text = json.dumps(configuration, indent=1, ensure_ascii=False)
    write_text(output / CONFIGURATION, text + "\n")
    YAML().dump(config, output / CONFIG)
    _save(_tensors(checkpoint), DTYPES[precision], output / WEIGHTS)


def front_end(_checkpoint: Path) -> FrontEnd | None:
    """None: the same filter banks."""
    return None


def differences(checkpoint: Path, directory: Path) -> Mapping[str, float]:
    """Of the file of weights; infinite where a tensor is not there or of another shape."""
    ours, theirs = _tensors(checkpoint), _tensors(directory)
    if {n: t.shape for n, t in ours.items()} != {n: t.shape for n, t in theirs.items()}:
        return {WEIGHTS: float("inf")}
    return {WEIGHTS: max(_difference(ours[name], theirs[name]) for name in ours)}


def _difference(expected: torch.Tensor, found: torch.Tensor) -> float:
    """The largest difference as a share of the largest value."""
    if expected.numel() == 0:
        return 0.0
    expected, found = expected.double(), found.double()
    largest = float(expected.abs().max())
    return float((found - expected).abs().max()) / (largest or 1.0)


def _named(checkpoint: Path, metas: Mapping[str, Any]) -> set[str]:
    """Files and folders to copy: those that configuration.json names, and licences."""
    named = set(_strings(metas)) - {WEIGHTS, CONFIG}
    for name in named:
        inside = (checkpoint / name).resolve().is_relative_to(checkpoint.resolve())
        if not inside or not (checkpoint / name).exists():
            raise ExportError(
                f"{checkpoint}/{CONFIGURATION} names {name}, which is not in its directory; "
                "copy it there, and name it by its relative path"
            )
    found = (checkpoint.glob(pattern) for pattern in ("LICENSE*", "LICENCE*", "NOTICE*"))
    return named | {file.name for files in found for file in files}


def _copy(source: Path, target: Path) -> None:
    """Copy a file or folder, without the read-only mode of DVC's files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        ignored = shutil.ignore_patterns(".cache")
        shutil.copytree(source, target, ignore=ignored, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


def _strings(value: object) -> Iterator[str]:
    """All strings in nested values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(inner)


def _config(config: Mapping[str, Any], metas: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """config.yaml of an export of `where`.

    Raises:
        ExportError: it names a file of this machine.
    """
    made = {key: value for key, value in config.items() if key not in NOT_OF_THE_MODEL}
    # As bf16, which published ones have, the language model is rounded to it when it is loaded,
    # and is float32 from the first utterance on, whose speech alone is rounded too
    # (inference_prepare and inference_llm in funasr's models/fun_asr_nano/model.py).
    made["llm_conf"] = {**made["llm_conf"], "llm_dtype": "fp32"}
    # Noise on the samples, funasr's default: the same speech would not say the same twice.
    made["frontend_conf"] = {**made["frontend_conf"], "dither": 0.0}
    if "dataset_conf" in made:
        dataset = made["dataset_conf"]
        made["dataset_conf"] = {k: v for k, v in dataset.items() if k not in PROMPT_KEYS}
    for section, files in metas.items():
        # funasr puts the files' places over these.
        if isinstance(files, dict) and isinstance(made.get(section), dict):
            made[section] = {**made[section], **files}
    if paths := [text for text in _strings(made) if Path(text).is_absolute()]:
        raise ExportError(
            f"{where}/{CONFIG} names {paths[0]}, which others do not have; remove that key, or "
            f"name the file in {CONFIGURATION} by its relative path"
        )
    return made


def _save(tensors: Mapping[str, torch.Tensor], dtype: torch.dtype, file: Path) -> None:
    """Write a map of tensors as FunASR does."""
    # By place in memory: tied tensors stay one, which the file then holds once.
    copies: dict[tuple[object, ...], torch.Tensor] = {}
    for tensor in tensors.values():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if place not in copies:
            kind = dtype if tensor.is_floating_point() else tensor.dtype
            copies[place] = tensor.to(kind, copy=True, memory_format=torch.contiguous_format)
    saved = {
        name: copies[tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype]
        for name, tensor in tensors.items()
    }
    with atomic_path(file) as temporary, temporary.open("wb") as stream:
        # Through a stream: a path's name would become part of the bytes.
        torch.save({"state_dict": saved}, stream)


def _tensors(directory: Path) -> dict[str, torch.Tensor]:
    """The tensors in a directory's file of weights, mapped: in memory when they are used."""
    file = directory / WEIGHTS
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ExportError(f"{file} cannot be read as a checkpoint: {error}") from None
    tensors: dict[str, torch.Tensor] = normalize_checkpoint_state(saved)
    return tensors
