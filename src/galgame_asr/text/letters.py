"""Letters and numbers, as Unicode has them."""

import re

# \w is exactly Unicode's letters and numbers (categories L and N) and the underscore; the
# test of this module compares all code points.
_OTHERS = re.compile(r"[\W_]+")


def letters(text: str) -> str:
    """The letters and numbers of a text: no space, punctuation, symbol or mark."""
    return _OTHERS.sub("", text)
