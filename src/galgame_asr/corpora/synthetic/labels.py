"""Wrong labels, of which it is known that they are wrong: what an audit should find.

The audio stays as it is. The truth of a corpus is what it is without `corrupt_labels`: ids are
the same.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

# The labels of two utterances exchanged; the end missing; the end of another sentence added; a part
# of the kana replaced by others; another sentence altogether.
Way = Literal["swapped", "cut", "lengthened", "other_kana", "other_sentence"]
WAYS: tuple[Way, ...] = get_args(Way)
# No two of them sound alike.
KANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろ"
# Shares of a text: how much of it is cut, added and replaced at least and at most.
CUT, ADDED, REPLACED = (0.3, 0.6), (0.3, 0.6), (0.25, 0.4)
END = "。！？"


@dataclass(frozen=True)
class Wrong:
    """A wrong label."""

    way: Way
    text: str


def corrupt(texts: Mapping[str, str], share: float, seed: int) -> dict[str, Wrong]:
    """Wrong labels for a share of the utterances, each way as often, by their ids.

    Args:
        texts: the labels that are right, by id.
        share: of the utterances.
        seed: the same one gives the same labels.
    """
    draw = random.Random(f"labels {seed}")
    chosen = draw.sample(sorted(texts), round(share * len(texts)))
    wrong: dict[str, Wrong] = {}
    sentences = sorted(set(texts.values()))
    for number, way in enumerate(WAYS):
        own = chosen[number :: len(WAYS)]
        given = _wrong(way, [texts[id_] for id_ in own], sentences, draw)
        for id_, text in zip(own, given, strict=True):
            # Where nothing else is left: one utterance alone has none to be swapped with.
            other = text if text != texts[id_] else _another(texts[id_], sentences, draw)
            wrong[id_] = Wrong(way, other)
    return wrong


def _wrong(
    way: Way, texts: Sequence[str], sentences: Sequence[str], draw: random.Random
) -> list[str]:
    if way == "swapped":
        # By text, half of them apart: equal ones stand together.
        order = sorted(range(len(texts)), key=texts.__getitem__)
        half = len(texts) // 2
        given = dict(zip(order, order[half:] + order[:half], strict=True))
        return [texts[given[index]] for index in range(len(texts))]
    if way == "cut":
        return [text[: _part(text, CUT, draw)] + text[len(text.rstrip(END)) :] for text in texts]
    if way == "lengthened":
        added = [_another(text, sentences, draw) for text in texts]
        ends = [other[_part(other, ADDED, draw) :] for other in added]
        return [text.rstrip(END) + end for text, end in zip(texts, ends, strict=True)]
    if way == "other_kana":
        return [_other_kana(text, draw) for text in texts]
    return [_another(text, sentences, draw) for text in texts]


def _part(text: str, share: tuple[float, float], draw: random.Random) -> int:
    """Where the last such share of a text begins, its last sign aside; one character is left."""
    said = len(text.rstrip(END))
    return max(said - max(round(draw.uniform(*share) * said), 2), 1)


def _other_kana(text: str, draw: random.Random) -> str:
    places = [place for place, char in enumerate(text) if char in KANA]
    count = max(round(draw.uniform(*REPLACED) * len(places)), 2)
    letters = list(text)
    for place in draw.sample(places, min(count, len(places))):
        letters[place] = draw.choice(KANA.replace(text[place], ""))
    return "".join(letters)


def _another(text: str, sentences: Sequence[str], draw: random.Random) -> str:
    return draw.choice([sentence for sentence in sentences if sentence != text])
