"""Letters are what Unicode calls letters and numbers."""

import sys
import unicodedata

from galgame_asr.text.letters import letters


def test_every_code_point_is_as_in_its_category() -> None:
    """The regular expression stands for categories L and N, in this Python."""
    wrong = [
        code
        for code in range(sys.maxunicode + 1)
        if bool(letters(chr(code))) != (unicodedata.category(chr(code))[0] in "LN")
    ]
    assert wrong == []
