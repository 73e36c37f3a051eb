"""The character error rate of a phase while it runs, on a fixed sample of its dev set."""

import gc
import unicodedata
import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from rapidfuzz.distance import Levenshtein

from galgame_asr.families.common import hotwords
from galgame_asr.families.common.batching import by_length, window_frames
from galgame_asr.families.common.defaults import max_spoken_tokens
from galgame_asr.families.common.family import Example, Family, Search
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import ConfigError, UtteranceError
from galgame_asr.training.batches import Pick
from galgame_asr.training.dataset import Utterances


def sample(rows: pd.DataFrame, count: int) -> list[Pick]:
    """The same utterances in every run, whatever others the dev set has: a hash chooses them."""
    order = sorted(range(len(rows)), key=lambda row: zlib.crc32(rows["id"].iloc[row].encode()))
    return [Pick(0, row, 1.0) for row in sorted(order[:count])]


@torch.no_grad()
def count_errors(
    family: Family, utterances: Utterances, picks: Sequence[Pick], budget: int
) -> tuple[int, int]:
    """Decode utterances greedily; wrong characters and characters of their references.

    Letters and numbers count, as they are written; stage score knows more. What cannot be
    read is left out.

    Args:
        family: its model is in eval mode afterwards.
        utterances: what `picks` are of, and what the model is told of each.
        picks: which ones.
        budget: 10 ms frames of a batch, padding included.

    Raises:
        ConfigError: the GPU has no room for one utterance.
    """
    family.model.eval()
    frames = utterances.frames(picks) if picks else np.zeros(0, dtype=np.int64)
    errors = characters = 0
    order = np.argsort(frames, kind="stable")
    for batch in by_length(order, frames, budget, window_frames(family.window_s)):
        examples = []
        for index in batch:
            try:
                examples.append(utterances[picks[index]])
            except UtteranceError:  # the dev loss, which reads it too, names it
                continue
        if not examples:
            continue
        for example, transcript in zip(examples, _transcribe(family, examples), strict=True):
            said, heard = _letters(example.text), _letters(transcript.text)
            errors += Levenshtein.distance(said, heard)
            characters += len(said)
    return errors, characters


def _transcribe(family: Family, examples: Sequence[Example]) -> list[Transcript]:
    """Decode a batch; in halves where a GPU has no room for it beside what training keeps."""
    features, prompts = [e.features for e in examples], [e.prompt for e in examples]
    limits = [max_spoken_tokens(example.duration_s) for example in examples]
    try:
        return hotwords.transcribe(family, features, prompts, Search(limits))
    except torch.OutOfMemoryError:
        pass  # the error holds what did not fit
    gc.collect()
    torch.cuda.empty_cache()
    if len(examples) == 1:
        raise ConfigError(
            f"the GPU has no room to decode {limits[0]} tokens of one dev utterance while it "
            "trains; set train.common.dev_cer_utterances to 0"
        )
    log.warning("out of memory: %d dev utterances are decoded in halves", len(examples))
    half = len(examples) // 2
    return [t for part in (examples[:half], examples[half:]) for t in _transcribe(family, part)]


def _letters(text: str) -> str:
    compatible = unicodedata.normalize("NFKC", text)
    return "".join(character for character in compatible if character.isalnum())
