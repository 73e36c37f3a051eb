"""Hotwords of each utterance's own: drawing them, and decoding batches that have several."""

import dataclasses
import random
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch

from galgame_asr.families.common.family import Recogniser, Search
from galgame_asr.families.common.glossary import names_of
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.transcript import Transcript


def told(prompt: Prompt, key: str, text: str, epoch: int = 0) -> Prompt:
    """The prompt of one utterance: with what its glossary gives as hotwords, in a drawn order.

    It depends on these arguments alone, so that there is no state to resume.

    Args:
        prompt: of all utterances.
        key: CORPUS/ID.
        text: the reference.
        epoch: of training.
    """
    if (rule := prompt.glossary) is None:
        return prompt
    names = names_of(rule.names, key)
    held = [name for name in names if name in text]
    others = [name for name in names if name not in text]
    draw = random.Random(f"{key}\0{epoch}")
    words = draw.sample(others, min(rule.distractors, len(others))) + held * rule.right
    draw.shuffle(words)
    return dataclasses.replace(prompt, hotwords=(*prompt.hotwords, *words), glossary=None)


def longest(prompt: Prompt, texts: Sequence[str]) -> Prompt:
    """The prompt with the longest hotwords that one of the texts may give it, or longer ones."""
    if (rule := prompt.glossary) is None:
        return prompt
    lists = rule.names.values() if isinstance(rule.names, dict) else [rule.names]
    every = dict.fromkeys(name for names in lists for name in names)
    names = sorted(every, key=lambda name: -len(name.encode()))
    held = max((sum(name in text for name in names) for text in texts), default=0)
    words = names[: rule.distractors + held * rule.right]
    return dataclasses.replace(prompt, hotwords=(*prompt.hotwords, *words), glossary=None)


@runtime_checkable
class EachPrompted(Protocol):
    """A recogniser that can be told something else for each utterance of a batch."""

    def transcribe_each(
        self, features: Sequence[torch.Tensor], prompts: Sequence[Prompt], search: Search
    ) -> list[Transcript]:
        """As `Recogniser.transcribe`, with a prompt per item."""


def transcribe(
    recogniser: Recogniser,
    features: Sequence[torch.Tensor],
    prompts: Sequence[Prompt],
    search: Search,
) -> list[Transcript]:
    """Decode a batch with a prompt per item; one after the other where a model takes one at once.

    Raises:
        GalgameAsrError: as for the recogniser's own.
    """
    if isinstance(recogniser, EachPrompted):
        return recogniser.transcribe_each(features, prompts, search)
    found: dict[int, Transcript] = {}
    for prompt in dict.fromkeys(prompts):
        own = [index for index, other in enumerate(prompts) if other == prompt]
        limits = [search.max_new_tokens[index] for index in own]
        said = recogniser.transcribe(
            [features[index] for index in own],
            prompt,
            dataclasses.replace(search, max_new_tokens=limits),
        )
        found |= zip(own, said, strict=True)
    return [found[index] for index in range(len(features))]
