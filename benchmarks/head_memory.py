"""Memory of a training step's logits: ours, at label positions, against FunASR's, at all.

Both models' own forward and backward, with the published dimensions but one layer each of
encoder and language model. The adaptor learns. Counted is what is as wide as the vocabulary:
logits, their logarithms and the gradients of both.

    python -m benchmarks.head_memory [--utterances 8]
"""

import argparse
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks import train_data
from galgame_asr.base import fun_asr_nano_2512
from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.families.common.family import Example
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.training.freezing import freeze

SECONDS = 5
TEXT = "えへへ、先輩が好き。ん…、一緒に帰ろうよ。"


class Logits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors of a width that are made in its block, while they live."""

    def __init__(self, width: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.width = width
        self.peak = self._now = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        outputs = function(*args, **(kwargs or {}))
        given = {tensor.untyped_storage() for tensor in _tensors((args, kwargs))}
        for tensor in _tensors(outputs):
            storage = tensor.untyped_storage()
            # Views and results in place are of what was given.
            if tensor.shape[-1:] == (self.width,) and storage not in given | {*self._known}:
                self._known.add(storage)
                self._now += tensor.nbytes
                weakref.finalize(storage, self._freed, tensor.nbytes)
        self.peak = max(self.peak, self._now)
        return outputs

    def _freed(self, size: int) -> None:
        self._now -= size


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=8, help="per batch")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "model"
        theirs = train_data.write_published(directory, [TEXT], layers=1)
        family = fun_asr_nano.load(directory)
    for model in (family.model, theirs):
        freeze(model, family.parts, {"encoder": True, "adaptor": False, "llm": True})
        model.train()
    noise = np.random.default_rng(0).normal(0, 0.1, SECONDS * SAMPLE_RATE_HZ)
    features = family.features(noise.astype(np.float32))
    example = Example("noise", features, train_data.PROMPT, TEXT, 0.0)
    batch = family.training_batch([example] * options.utterances)
    share = float((batch["labels_ids"] >= 0).float().mean())

    own_loss, own = step(family.model, batch)
    # Clones, since it changes its inputs.
    as_funasr = {key: value.clone() for key, value in batch.items() if key != "instruction"}
    for key in ("fbank_beg", "fake_token_len"):
        as_funasr[key] = as_funasr[key][:, None]  # one for each turn of a dialogue
    their_loss, their = step(theirs, as_funasr)
    assert abs(own_loss - their_loss) < 1e-4 * their_loss, (own_loss, their_loss)
    print(
        f"{options.utterances} x {batch['labels_ids'].shape[1]} positions, {share:.0%} labels: "
        f"ours {own / 1e6:.0f} MB, FunASR {their / 1e6:.0f} MB, ratio {own / their:.2f}"
    )


def step(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[float, int]:
    """Loss of a batch, and peak bytes of its logits."""
    with Logits(fun_asr_nano_2512.LLM_CONFIG["vocab_size"]) as logits:
        outputs = model(**batch)
        loss: torch.Tensor = outputs["loss"] if isinstance(outputs, dict) else outputs[0]
        loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach()), logits.peak


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


if __name__ == "__main__":
    main()
