"""What the errors of an utterance are put down to; the classes add up to its edit distance.

Both texts are cut where a word begins in both and one optimal alignment passes through equal
characters. The alignment between two cuts is optimal too, so the distances of the blocks add up
to the whole. A block has one class:

- spelling: it sounds the same, and the word is the same or one side is in kana: 私 わたし,
  何 なに, ねぇ ねえ, アレ あれ, 会う 逢う; or only a っ differs that ends or stresses the word.
- homophone: it sounds the same, and both sides have kanji, of different words: 校則 拘束.
- deletion, insertion: one side is empty.
- loop: what a repeated unit of the hypothesis costs above the best smaller number of repeats.
- misheard: the rest. Forms of one word that sound different belong here: わたし あたし, 行く 行け.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from rapidfuzz.distance import Levenshtein

from galgame_asr.scoring.hallucination import longest_loop, loops
from galgame_asr.scoring.scored import CLASSES
from galgame_asr.scoring.scripts import KANJI
from galgame_asr.scoring.words import Word, Words, phonetic

MAX_READINGS = 32  # combinations tried for one side of a block


@dataclass(frozen=True)
class Block:
    """A stretch of an utterance where reference and hypothesis differ."""

    truth: str
    heard: str
    kind: str  # one of scored.CLASSES
    edits: int


def break_down(truth: str, heard: str, words: Words) -> list[Block]:
    """Differing blocks of two normalised texts: loops first, then from left to right."""
    heard, found = _without_loops(truth, heard)
    if truth == heard:
        return found
    truth_words, heard_words = words.words(truth), words.words(heard)
    for (i, j), (next_i, next_j) in pairwise(_cuts(truth, heard, truth_words, heard_words)):
        if truth[i:next_i] != heard[j:next_j]:
            a = _Side(truth[i:next_i], [w for w in truth_words if i <= w.begin < next_i], words)
            b = _Side(heard[j:next_j], [w for w in heard_words if j <= w.begin < next_j], words)
            found.append(Block(a.text, b.text, _kind(a, b), Levenshtein.distance(a.text, b.text)))
    return found


def count(blocks: Iterable[Block]) -> dict[str, int]:
    """Edits of each class."""
    edits = dict.fromkeys(CLASSES, 0)
    for block in blocks:
        edits[block.kind] += block.edits
    return edits


def _without_loops(truth: str, heard: str) -> tuple[str, list[Block]]:
    """The hypothesis with its loops cut to the best number of repeats, and what that saves."""
    found = []
    allowed = longest_loop(truth)
    distance = Levenshtein.distance(truth, heard)
    # From the right, so that the places of the others stay.
    for loop in reversed([loop for loop in loops(heard) if loop.length > allowed]):
        before, unit = heard[: loop.begin], heard[loop.begin : loop.begin + loop.unit]
        after = heard[loop.end :]
        # More than the whole reference cannot hold.
        most = min(loop.length // loop.unit, len(truth) // loop.unit + 1)
        shorter = [before + unit * repeats + after for repeats in range(1, most + 1)]
        distances = [Levenshtein.distance(truth, text) for text in shorter]
        best = min(distances)
        if best < distance:
            cut = shorter[distances.index(best)]
            removed = unit * ((len(heard) - len(cut)) // loop.unit)
            found.append(Block("", removed, "loop", distance - best))
            heard, distance = cut, best
    return heard, found[::-1]


def _cuts(
    truth: str, heard: str, truth_words: Sequence[Word], heard_words: Sequence[Word]
) -> list[tuple[int, int]]:
    """Places where both texts may be cut, the two ends included."""
    truth_begins = {word.begin for word in truth_words} | {len(truth)}
    heard_begins = {word.begin for word in heard_words} | {len(heard)}
    cuts = {(0, 0), (len(truth), len(heard))}
    for step in Levenshtein.opcodes(truth, heard):
        if step.tag == "equal":
            shift = step.dest_start - step.src_start
            cuts.update(
                (place, place + shift)
                for place in range(step.src_start, step.src_end + 1)
                if place in truth_begins and place + shift in heard_begins
            )
    return sorted(cuts)


@dataclass(frozen=True)
class _Side:
    """One side of a block."""

    text: str
    words: Sequence[Word]
    dictionary: Words

    @cached_property
    def lemmas(self) -> list[str]:
        return [word.lemma for word in self.words]

    @cached_property
    def readings(self) -> set[str]:
        """All ways to say it; the dictionary knows several for a word in kanji."""
        whole = {""}
        for word in self.words:
            options = {word.reading}
            if KANJI.search(word.surface):
                options |= self.dictionary.readings(word.surface)
            if len(whole) * len(options) > MAX_READINGS:
                options = {word.reading}
            whole = {begin + option for begin in whole for option in options}
        return {_sound(reading) for reading in whole}


def _sound(kana: str) -> str:
    """How kana sound; writers end a cry in っ as they like."""
    return phonetic(kana).rstrip("ッ")


def _kind(truth: _Side, heard: _Side) -> str:
    if _sound(truth.text) == _sound(heard.text):
        return "spelling"
    if not heard.text:
        return "deletion"
    if not truth.text:
        return "insertion"
    same_word = truth.lemmas == heard.lemmas
    if truth.readings & heard.readings:
        both = KANJI.search(truth.text) and KANJI.search(heard.text)
        return "homophone" if both and not same_word else "spelling"
    # すっごい is すごい with stress.
    if same_word and _unstressed(truth.readings) & _unstressed(heard.readings):
        return "spelling"
    return "misheard"


def _unstressed(readings: Iterable[str]) -> set[str]:
    return {reading.replace("ッ", "") for reading in readings}
