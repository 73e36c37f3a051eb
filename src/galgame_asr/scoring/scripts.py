"""Which scripts a text is written in."""

import re

_KANJI = r"\u3005-\u3007\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF\U00020000-\U0003FFFF"
# Latin with its accented letters, and digits; each also in full width.
_LATIN = r"A-Za-z\u00C0-\u024F\uFF21-\uFF3A\uFF41-\uFF5A"
_DIGITS = r"0-9\uFF10-\uFF19"

KANJI = re.compile(f"[{_KANJI}]")
LATIN = re.compile(f"[{_LATIN}]")
LATIN_OR_DIGIT = re.compile(f"[{_LATIN}{_DIGITS}]")
