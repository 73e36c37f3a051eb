"""Normalising Japanese text before it is scored."""

import unicodedata

from galgame_asr.text.letters import letters

# Wave dashes that writers use for a drawn-out vowel.
ELONGATION = str.maketrans(dict.fromkeys("〜～〰∼∾", "ー"))


def normalise(text: str) -> str:
    """Keep what is heard: letters and numbers, in compatibility form and lower case.

    >>> normalise("すご〜い、ＯＫ！")
    'すごーいok'
    """
    return letters(unicodedata.normalize("NFKC", text.translate(ELONGATION)).lower())
