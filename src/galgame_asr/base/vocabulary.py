"""A vocabulary of the size of a published one, made and not learned.

For models with random weights: how many tokens a text has, and how large the embeddings
are, is about as in the published tokenizers; which tokens those are is not.
"""

from collections.abc import Iterator
from itertools import islice, product

from transformers.convert_slow_tokenizer import bytes_to_unicode

Merge = tuple[bytes, bytes]
KANA = [chr(code) for code in range(0x3041, 0x30FF)]
PUNCTUATION = [chr(code) for code in (*range(0x2010, 0x2040), *range(0x3000, 0x3020),
                                      *range(0xFF01, 0xFFA0))]  # fmt: skip
KANJI = [chr(code) for code in range(0x4E00, 0xA000)]
# What stands most often behind a kanji.
BEHIND = "のいはをがにるうしてとたでかもっれ"


def merges(count: int) -> list[Merge]:
    """So many merges of byte-level BPE (Sennrich et al. 2016), each of two tokens before it.

    First every kana, mark and kanji becomes a token, then pairs of kana and a kanji with a kana.
    """
    return list(islice(_merges(), count))


def spelled(count: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Bytes and merges, `count` tokens in all, as tokenizers writes them: ids, and pairs."""
    letters: dict[int, str] = bytes_to_unicode()  # type: ignore[no-untyped-call]
    pairs = [
        ("".join(letters[byte] for byte in one), "".join(letters[byte] for byte in other))
        for one, other in merges(count - len(letters))
    ]
    tokens = [*letters.values(), *(one + other for one, other in pairs)]
    return {token: number for number, token in enumerate(tokens)}, pairs


def _merges() -> Iterator[Merge]:
    characters = [character.encode() for character in (*KANA, *PUNCTUATION, *KANJI)]
    for prefix in dict.fromkeys(character[:2] for character in characters):
        yield prefix[:1], prefix[1:]
    for character in characters:
        yield character[:2], character[2:]
    for one, other in product(KANA, KANA):
        yield one.encode(), other.encode()
    for kana, kanji in product(BEHIND, KANJI):
        yield kanji.encode(), kana.encode()
