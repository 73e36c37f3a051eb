"""Markup in texts: what a game's script says to its engine or its reader, and nobody says aloud.

Each rule is a function with its cases. A rule takes out what is surely markup: emphasis in
《》, thoughts in （）, ♪, … and the quotes of a line stay, as they do in the scripts of games
that mark nothing up by them.
"""

import html
import re
from collections.abc import Callable, Iterable

_CONTROL = re.compile(r"<[|｜][^<>|｜]{1,40}[|｜]>")
# Of Aozora Bunko: the reading belongs to what follows the bar, or to the kanji before it.
_RUBY = re.compile(
    r"[|｜]([^|｜《》\n]+)《[^《》\n]+》"
    r"|((?<![一-鿿㐀-䶿𠀀-𪛟々〆ヶ])[一-鿿㐀-䶿𠀀-𪛟々〆ヶ]+)《[ぁ-ゖァ-ヺー・゛゜ 　]+》"
)
_READINGS = re.compile(
    r"<(rt|rp)>[^<]*</\1>|\{rt\}[^{]*\{/rt\}|</?(?:ruby|rb)>|\{/?rb\}", re.IGNORECASE
)
_BREAK_TAG = re.compile(r"(?<=[A-Za-z0-9])(?:<br ?/?>|\[r\])(?=[A-Za-z0-9])")
_TAGS = re.compile(
    r"</?[A-Za-z][A-Za-z0-9]*(?:[ =/][^<>]*)?>"
    r"|\[/?[a-z][a-z0-9_]*(?: [^\[\]]*)?\]"
    r"|\{/?[a-z]+(?:=[^{}]*)?\}"
    r"|［＃[^［］]*］"
)
_ENTITY = re.compile(r"&(?:[A-Za-z]{2,8}|#[0-9]{1,6}|#x[0-9A-Fa-f]{1,6});")
_BREAK_CODE = re.compile(r"(?<=[A-Za-z0-9])\\n(?=[A-Za-z0-9])")
_CODES = re.compile(
    r"(?<![0-9０-９])%[a-z]-?[0-9]*;?(?![a-z])"
    r"|[\\¥](?:[A-Za-z]{1,2}[\[<][0-9]+[\]>]|[nrtkwplx](?![A-Za-z/]))"
)
_SPEAKER = re.compile(
    r"\s*(?:(?:【[^【】]{1,20}】\s*)+"
    r"|[^\s「『（【。、！？…:：]{1,12}[:：]\s*(?=[「『（])"
    r"|[一-鿿々ァ-ヺー・A-Za-zＡ-Ｚａ-ｚ0-9０-９？?]{1,12}(?=[\r\n]*「[^「」]+」\s*$))"
)


def control(text: str) -> str:
    """Marks of speech and language models.

    >>> control("<|ja|><|NEUTRAL|><|Speech|><|woitn|>はい、そうです。")
    'はい、そうです。'
    >>> control("終わり<|im_end|>続き")
    '終わり続き'
    >>> control("え<|え|え>_<え|")  # one of them alone is none
    'え<|え|え>_<え|'
    """
    return _CONTROL.sub("", text)


def ruby(text: str) -> str:
    """Readings: the text that they stand over is kept.

    >>> ruby("漢字《かんじ》のルビと、｜秘密の花園《シークレットガーデン》")
    '漢字のルビと、秘密の花園'
    >>> ruby("<ruby>漢字<rp>(</rp><rt>かんじ</rt><rp>)</rp></ruby>、{rb}葵{/rb}{rt}あおい{/rt}")
    '漢字、葵'
    >>> ruby("それが《聖剣》だ。あの《ちから》が…")  # emphasis
    'それが《聖剣》だ。あの《ちから》が…'
    >>> ruby("夜中《三時》に")  # kanji are no reading
    '夜中《三時》に'
    >>> ruby("東京（とうきょう）")  # nor are parentheses markup
    '東京（とうきょう）'
    """
    return _READINGS.sub("", _RUBY.sub(lambda found: found[1] or found[2], text))


def tags(text: str) -> str:
    """Tags: <> of HTML and Unity, [] of KiriKiri, {} of Ren'Py, ［＃］ of Aozora Bunko.

    What HTML writes by name becomes the character.

    >>> tags("改行<br>タグ[r]です[l]")
    '改行タグです'
    >>> tags('<color=#ff0000>赤</color>い[ruby text="はな"]花{i}だ{/i}{w=0.5}')
    '赤い花だ'
    >>> tags("Hello<br>World")
    'Hello World'
    >>> tags("薔薇［＃「薔薇」に傍点］&amp;百合、A&B")
    '薔薇&百合、A&B'
    >>> tags("(>_<) <3 [笑] ［ｒ］ 1<2 {笑} [OK]")
    '(>_<) <3 [笑] ［ｒ］ 1<2 {笑} [OK]'
    """
    text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    return _TAGS.sub("", _BREAK_TAG.sub(" ", text))


def codes(text: str) -> str:
    r"""Codes of one letter after a percent sign, a backslash or a yen sign.

    >>> codes("%p%q;制御記号です%l10;")
    '制御記号です'
    >>> codes("です\\n次の行\\k、\\C[2]赤\\C[0]¥n")
    'です次の行、赤'
    >>> codes("Hello\\nWorld")
    'Hello World'
    >>> codes("100%です、50%off、50%p、¥100、\\o/、＼(^o^)／")
    '100%です、50%off、50%p、¥100、\\o/、＼(^o^)／'
    """
    return _CODES.sub("", _BREAK_CODE.sub(" ", text))


def speaker(text: str) -> str:
    """Who speaks: a name in 【】 or before a colon that leads, or before a line that is all quote.

    Names in hiragana without either are left: they cannot be told from words.

    >>> speaker("【葵】「おはよう、詩織。」")
    '「おはよう、詩織。」'
    >>> speaker("葵「おはよう」")
    '「おはよう」'
    >>> speaker("さくら：「おはよう」")
    '「おはよう」'
    >>> speaker("これが【聖剣】か")
    'これが【聖剣】か'
    >>> speaker("彼は「はい」")
    '彼は「はい」'
    >>> speaker("小説「雪国」を読んだ")
    '小説「雪国」を読んだ'
    >>> speaker("「おはよう」")
    '「おはよう」'
    >>> speaker("時間：三時")
    '時間：三時'
    """
    found = _SPEAKER.match(text)
    return text[found.end() :] if found else text


# In the order in which they are applied: a name can stand behind a mark.
RULES: dict[str, Callable[[str], str]] = {
    rule.__name__: rule for rule in (control, ruby, tags, codes, speaker)
}


def holds_markup(text: str) -> bool:
    """Whether a rule would take something out."""
    return any(rule(text) != text for rule in RULES.values())


def clean(text: str, rules: Iterable[str]) -> str:
    """A text without what the rules of these names take out.

    >>> clean("<|ja|>【葵】「漢字《かんじ》[r]です」", ["tags", "speaker", "control"])
    '「漢字《かんじ》です」'
    """
    for name, rule in RULES.items():
        if name in rules:
            text = rule(text)
    return text
