"""Numbers in the one form in which they are scored: kanji numerals, as they are read.

Arabic numbers become kanji and not the other way round, because 一 stands in words
that are no numbers: 一緒, 一息.
"""

import re

DIGITS = "〇一二三四五六七八九"
_PLACES = (("千", 1000), ("百", 100), ("十", 10), ("", 1))
_MYRIADS = ("", "万", "億", "兆")
_LONGEST = 4 * len(_MYRIADS)
# 1,000 with its commas, or digits; then a decimal fraction.
_ARABIC = re.compile(r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")
_POSITIONAL = re.compile(f"([{DIGITS}]+)([十百千]?)")


def arabic_to_kanji(text: str) -> str:
    """Write arabic numbers, thousands commas and decimal points among them, in kanji.

    >>> arabic_to_kanji("120円、1,000円、10,000人、10000000、0")
    '百二十円、千円、一万人、一千万、〇'
    >>> arabic_to_kanji("3.5倍、007、1,2,3")
    '三点五倍、〇〇七、一,二,三'
    """
    return _ARABIC.sub(lambda found: _decimal(found.group().replace(",", "")), text)


def positional_to_kanji(text: str) -> str:
    """Write kanji digits with a 〇 among them as the number they stand for.

    A 〇 that leads stands for a name left out or for a digit read alone.

    >>> positional_to_kanji("二〇二四年、二〇万、〇〇さん、〇〇七、二四")
    '二千二十四年、二十万、〇〇さん、〇〇七、二四'
    """
    return _POSITIONAL.sub(_positional, text) if "〇" in text else text


def _positional(found: re.Match[str]) -> str:
    digits, place = found.groups()
    if place or "〇" not in digits or digits[0] == "〇":
        return found.group()
    return _integer("".join(str(DIGITS.index(digit)) for digit in digits))


def _decimal(number: str) -> str:
    whole, point, fraction = number.partition(".")
    return _integer(whole) + ("点" + _one_by_one(fraction) if point else "")


def _integer(number: str) -> str:
    if number.startswith("0") or len(number) > _LONGEST:
        return _one_by_one(number)
    kanji, rest = "", int(number)
    for myriad in _MYRIADS:
        rest, group = divmod(rest, 10_000)
        if group:
            kanji = _below_myriad(group, myriad) + myriad + kanji
    return kanji


def _below_myriad(number: int, myriad: str) -> str:
    if number == 1000 and myriad:
        return "一千"  # 一千万, but 千 and 千五百万
    kanji = ""
    for place, value in _PLACES:
        digit, number = divmod(number, value)
        if digit:
            kanji += (DIGITS[digit] if digit > 1 or not place else "") + place
    return kanji


def _one_by_one(digits: str) -> str:
    return "".join(DIGITS[int(digit)] for digit in digits)
