"""Fun-ASR-Nano by `funasr.AutoModel` itself, as those run it who have nothing but funasr.

fun_asr_nano.py decodes the same directories several times as fast, in batches. This shows
that a published directory says what its checkpoint says. It cannot be trained.
"""

import contextlib
import importlib
import io
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from galgame_asr.families.common import foreign
from galgame_asr.families.common.family import Search
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.text_tokens import TextTokenizer
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.families.fun_asr_nano import (
    funasr_parts,  # noqa: F401  registers what the model is made of
    texts,
)
from galgame_asr.families.fun_asr_nano.network import CTC_BRANCH
from galgame_asr.messages.errors import CheckpointError, ConfigError

WINDOW_S, DEFAULTS = None, texts.DEFAULTS
CONFIG, ENTRIES = "config.yaml", "configuration.json"
FILES = (CONFIG, ENTRIES, "model.pt")
# What funasr prints, and goes on with random weights (train_utils/load_pretrained_model.py and
# auto/auto_model.py of 1.4.16).
MISSING, NO_FILE = "Warning, miss key in ckpt: ", "error, init_param does not exist"


class FunAsrNanoAutoModel:
    """The `Recogniser` of model directories in FunASR's layout, one utterance at a time."""

    window_s: float | None = WINDOW_S

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # Nothing but a place: funasr loads onto the device that this was moved to.
        self.model = nn.Module()
        self.model.register_buffer("place", torch.empty(0))

    def features(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """The samples as they are, (T, 1): funasr computes filter banks itself."""
        return torch.from_numpy(audio)[:, None]

    def transcribe(
        self, features: Sequence[torch.Tensor], prompt: Prompt, search: Search
    ) -> list[Transcript]:
        """Decode; see `Recogniser`. funasr tells text alone: tokens are those of the text.

        Raises:
            CheckpointError: funasr cannot load the directory, or finds tensors missing.
            ConfigError: the search has beams, or the prompt asks for timestamps or holds marks.
        """
        if search.beams > 1:
            raise ConfigError(
                f"decode.beams is {search.beams}; AutoModel's own search is greedy: set it to 1, "
                "or decode by family fun_asr_nano"
            )
        texts.refuse_timestamps(prompt)
        texts.refuse_marks(prompt, "AutoModel")
        return [
            self._transcribe(item[:, 0], prompt, limit, search.no_repeat_ngram_size)
            for item, limit in zip(features, search.max_new_tokens, strict=True)
        ]

    def _transcribe(
        self, samples: torch.Tensor, prompt: Prompt, limit: int, no_repeat_ngram_size: int
    ) -> Transcript:
        (found,) = self._runtime.generate(
            input=[samples],
            hotwords=list(prompt.hotwords),
            language=prompt.language,
            itn=prompt.itn,
            max_length=limit,
            batch_size=1,
            llm_kwargs={"do_sample": False, "no_repeat_ngram_size": no_repeat_ngram_size},
        )
        text: str = found["text"]
        num_tokens = len(self._text_tokens(text))
        return Transcript(text, min(num_tokens + 1, limit), None)

    @cached_property
    def _text_tokens(self) -> TextTokenizer:
        return TextTokenizer(self._runtime.kwargs["tokenizer"])

    @cached_property
    def _runtime(self) -> Any:
        # Here and by name, because imports of funasr must come after funasr_parts.
        importlib.import_module("funasr.tokenizer.hf_tokenizer")
        return auto_model(self.directory, self.model.get_buffer("place").device)


def auto_model(directory: Path, device: torch.device) -> Any:
    """An AutoModel of a directory, with as many threads as torch has.

    Raises:
        CheckpointError: funasr cannot load the directory, or finds tensors missing.
    """
    module = importlib.import_module("funasr.auto.auto_model")
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), _weights_only():
            made = module.AutoModel(
                # Whole: some relative paths are funasr's names for models of a hub.
                model=str(directory.absolute()),
                device=str(device),
                ncpu=torch.get_num_threads(),
                disable_update=True,
                disable_pbar=True,
                disable_log=True,
            )
    except Exception as error:  # of files, of torch, of configurations; they share no base
        raise CheckpointError(f"{directory} cannot be loaded by funasr: {error}") from None
    for line in printed.getvalue().splitlines():
        # The Hugging Face hub's file has no CTC branch: funasr then gives no times.
        of_branch = line.removeprefix(MISSING).startswith(CTC_BRANCH)
        if line.startswith((MISSING, NO_FILE)) and not of_branch:
            raise CheckpointError(f"{directory} is no whole model: funasr says: {line}")
    return made


@contextlib.contextmanager
def _weights_only() -> Iterator[None]:
    """Have every `torch.load` take weights alone, and run nothing that a file brings.

    Calls of funasr leave it to the default, which TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD changes. What
    a call says is above that variable (torch/serialization.py of 2.6 and later).
    """
    load = torch.load

    def weights(*arguments: Any, **named: Any) -> Any:
        return load(*arguments, **named | {"weights_only": True})

    with mock.patch.object(torch, "load", weights):
        yield


def refuse_foreign(directory: Path) -> None:
    """Refuse a model by which AutoModel would fetch or run more than is here.

    Args:
        directory: with config.yaml and configuration.json.

    Raises:
        CheckpointError: it would, or a file is damaged; see `foreign`.
    """
    foreign.refuse_directory(directory)
    values = _told(directory)
    foreign.refuse(values, directory / CONFIG)
    for key, value in foreign.entries(values):
        if isinstance(value, str) and "${" in value:  # some models put in values once more
            raise CheckpointError(
                f"{directory / CONFIG}: {'.'.join(key)} becomes {value!r}, which still stands for "
                "another value; write that"
            )
        # Of the CTC branch it is a file of weights.
        if key[-1] == "init_param_path" and value and not Path(str(value)).is_file():
            foreign.refuse_elsewhere(".".join(key), value, directory)


def _told(directory: Path) -> Any:
    """What AutoModel reads in a directory, by its own means: values may stand for others.

    The published tokenizer_conf.init_param_path is ${llm_conf.init_param_path}, and by the same
    means a map may be written as a string, in which no key is seen.
    """
    hub: Any = importlib.import_module("funasr.download.download_model_from_hub")
    try:
        metas = json.loads((directory / ENTRIES).read_bytes()).get("file_path_metas", {})
        files = hub.add_file_root_path(str(directory), metas, {})
        config = hub.OmegaConf.load(files.get("config", directory / CONFIG))
        merged = hub.OmegaConf.merge(config, files)
        return hub.OmegaConf.to_container(merged, resolve=True)
    except Exception as error:  # of files, of YAML, of values; they share no base
        raise CheckpointError(f"{directory} cannot be read by funasr: {error}") from None


def load(directory: Path) -> FunAsrNanoAutoModel:
    """Load an export, when it is first used; see `runtimes.load`.

    Raises:
        CheckpointError: a file is missing, or would have more fetched or run.
    """
    if missing := [name for name in FILES if not (directory / name).is_file()]:
        raise CheckpointError(f"{directory} is no model for funasr: it lacks {missing[0]}")
    refuse_foreign(directory)
    return FunAsrNanoAutoModel(directory)
