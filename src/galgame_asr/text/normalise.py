"""Normalising Japanese text before it is scored."""

import unicodedata

# Wave dashes that writers use for a drawn-out vowel.
ELONGATION = str.maketrans(dict.fromkeys("〜～〰∼∾", "ー"))


def normalise(text: str) -> str:
    """Keep what is heard: letters and numbers, in compatibility form and lower case.

    >>> normalise("すご〜い、ＯＫ！")
    'すごーいok'
    """
    folded = unicodedata.normalize("NFKC", text.translate(ELONGATION)).lower()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LN")
