"""Which texts count as the same when utterances are split.

This decides which utterance is in which set, so it is frozen: a change would
move utterances from training into a test set. Scoring has its own rules.
"""

import unicodedata

from galgame_asr.text.letters import letters


def group_text(text: str) -> str:
    """Letters and numbers of a text, in compatibility form and lower case."""
    return letters(unicodedata.normalize("NFKC", text).lower())
