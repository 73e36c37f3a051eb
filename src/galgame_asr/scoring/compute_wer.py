"""What `compute-wer -c` 0.2.3 prints, so that published figures can be compared.

Rates agree with any Levenshtein alignment. How errors split into substitutions,
deletions and insertions does not, because several alignments are equally short, and
another version of the package takes another one. Three habits are the package's own:
punctuation counts and takes the Latin text after it into its token, all kanji are
"Chinese" while ー and 々 are "Other", and a sentence with an empty reference is correct
whatever was heard.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

_LETTERS = re.compile(r"[^\W_]*")
_BLANKS = " \t\r\n"
_TAG = re.compile("<[^>]*>")
# What a token that begins with neither letter nor number takes in: ASCII up to a blank.
_REST = re.compile(f"[^{_BLANKS}\x80-\U0010ffff]*")
_REST_OF_TAG = re.compile(f"[^{_BLANKS}>\x80-\U0010ffff]*>?")
# A script is known by how the Unicode names of its characters begin.
_SCRIPTS = {
    "DIGIT": "Number",
    "CJK UNIFIED IDEOGRAPH": "Chinese",
    "CJK COMPATIBILITY IDEOGRAPH": "Chinese",
    "LATIN CAPITAL LETTER": "English",
    "LATIN SMALL LETTER": "English",
    "HIRAGANA LETTER": "Japanese",
    "KATAKANA LETTER": "Japanese",
}
_OF_NO_SCRIPT = (
    "AMPERSAND", "APOSTROPHE", "COMMERCIAL AT", "DEGREE CELSIUS", "EQUALS SIGN", "FULL STOP",
    "HYPHEN-MINUS", "LOW LINE", "NUMBER SIGN", "PLUS SIGN", "SEMICOLON",
)  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """Tokens of the references and errors, as one line of compute-wer."""

    correct: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of the references."""
        return self.correct + self.substitutions + self.deletions

    @property
    def rate(self) -> float:
        """Errors per token; 0 without tokens, however many were inserted."""
        errors = self.substitutions + self.deletions + self.insertions
        return errors / self.tokens if self.tokens else 0.0

    def __str__(self) -> str:
        """As compute-wer prints it."""
        return (
            f"{self.rate * 100:4.2f} % N={self.tokens} Cor={self.correct} "
            f"Sub={self.substitutions} Del={self.deletions} Ins={self.insertions}"
        )


@dataclass(frozen=True)
class SeedCounts:
    """The summary that compute-wer prints for a set of utterances."""

    overall: Counts
    scripts: dict[str, Counts]  # sorted by name; without those that have insertions only
    sentences: int
    wrong_sentences: int

    @property
    def sentence_error_rate(self) -> float:
        """Share of sentences with an error."""
        return self.wrong_sentences / self.sentences if self.sentences else 0.0

    def __str__(self) -> str:
        """The lines of compute-wer; it has those of the scripts in any order."""
        lines = [f"Overall -> {self.overall}"]
        lines += [f"{script} -> {counts}" for script, counts in self.scripts.items()]
        right = self.sentences - self.wrong_sentences
        lines.append(
            f"SER -> {self.sentence_error_rate * 100:4.2f} % N={self.sentences} Cor={right} "
            f"Err={self.wrong_sentences} ML=0 MH=0"
        )
        return "\n".join(lines)


def count(pairs: Iterable[tuple[str, str]]) -> SeedCounts:
    """Count the errors of (reference, hypothesis) pairs of already normalised texts."""
    overall: Counter[str] = Counter()
    by_script: dict[str, Counter[str]] = {}
    sentences = wrong = 0
    for reference, hypothesis in pairs:
        operations = list(align(tokens(reference), tokens(hypothesis)))
        for operation, token in operations:
            by_script.setdefault(script(token), Counter())[operation] += 1
        of_pair = Counter(operation for operation, _ in operations)
        overall += of_pair
        sentences += 1
        wrong += Counts(**of_pair).rate > 0
    scripts = {name: Counts(**counter) for name, counter in sorted(by_script.items())}
    return SeedCounts(
        overall=Counts(**overall),
        scripts={name: counts for name, counts in scripts.items() if counts.tokens},
        sentences=sentences,
        wrong_sentences=wrong,
    )


def count_pair(reference: str, hypothesis: str) -> Counts:
    """Count the errors of one utterance."""
    operations = align(tokens(reference), tokens(hypothesis))
    return Counts(**Counter(operation for operation, _ in operations))


def tokens(text: str) -> list[str]:
    """Tokens in upper case: each letter or number one, other characters with what follows.

    >>> tokens("えーok 12 <b>！？…Hi there<unk>")
    ['え', 'ー', 'O', 'K', '1', '2', '！', '？', '…HI', 'T', 'H', 'E', 'R', 'E']
    """
    if _LETTERS.fullmatch(text):
        return [char.upper() for char in text]
    found, at = [], 0
    while at < len(text):
        start, kind = at, unicodedata.category(text[at])
        at += 1
        if text[start] in _BLANKS or kind in {"Zs", "Cn"}:  # Cn: unassigned
            continue
        if kind[0] not in "LN":
            rest = _REST_OF_TAG if text[start] == "<" else _REST
            taken = rest.match(text, at)
            at = taken.end() if taken else at
        token = _TAG.sub("", text[start:at])
        if token:
            found.append(token.upper())
    return found


@lru_cache(65_536)
def script(token: str) -> str:
    """The script of a token's characters; Other if they have none or several."""
    scripts = set()
    for char in token:
        name = unicodedata.name(char, "")
        if not name.startswith(_OF_NO_SCRIPT):
            known = (script for start, script in _SCRIPTS.items() if name.startswith(start))
            scripts.add(next(known, "Other"))
    return scripts.pop() if len(scripts) == 1 else "Other"


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Operations of a shortest alignment and their tokens, from the end to the beginning.

    Among equally short ones, each step back takes a substitution (or equal tokens) first,
    then an insertion, then a deletion. The token is the reference's, or the inserted one.

    The table of distances is computed a column at a time, as bits of differences between
    its cells: G. Myers, "A fast bit-vector algorithm for approximate string matching",
    J. ACM 46(3), 1999, in the form of H. Hyyrö, "A bit-vector algorithm for computing
    Levenshtein and Damerau edit distances", Nordic J. Computing 10(1), 2003.
    """
    places: dict[str, int] = {}  # bit i of a token: it is the reference's i-th
    for i, token in enumerate(reference):
        places[token] = places.get(token, 0) | 1 << i
    every = (1 << len(reference)) - 1
    up, down = every, 0  # where the distance is one more or less than in the row above
    columns = []
    for token in hypothesis:
        equal = places.get(token, 0)
        same = (((equal & up) + up) ^ up) | equal | down  # no more than diagonally before
        right = down | ~(same | up) & every  # one more than in the column before
        left = up & same  # one less
        columns.append((same, right))
        shifted = right << 1 | 1
        up = (left << 1 | ~(same | shifted)) & every
        down = shifted & same & every
    i, j = len(reference) - 1, len(hypothesis) - 1
    while i >= 0 and j >= 0:
        same, right = columns[j]
        if reference[i] == hypothesis[j]:
            yield "correct", reference[i]
            i, j = i - 1, j - 1
        elif not same >> i & 1:
            yield "substitutions", reference[i]
            i, j = i - 1, j - 1
        elif right >> i & 1:
            yield "insertions", hypothesis[j]
            j -= 1
        else:
            yield "deletions", reference[i]
            i -= 1
    yield from (("deletions", reference[row]) for row in range(i, -1, -1))
    yield from (("insertions", hypothesis[column]) for column in range(j, -1, -1))
