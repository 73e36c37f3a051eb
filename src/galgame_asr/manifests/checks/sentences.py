"""When the sentences of a text are said, where it tells so: <|0.00|>はい。<|1.24|>.

Whisper's own notation: each sentence between its start and its end, in seconds. Kind `folder`
writes the `sentences` of a list in it. A text of any other form tells no times.
"""

import re
from collections.abc import Iterable
from typing import Any

from galgame_asr.manifests.checks import text as text_checks
from galgame_asr.messages.errors import DataError

_TIME = re.compile(r"<\|([0-9]+\.[0-9]+)\|>")
# Times are rounded, and decoders cut audio off: as `corpora.folder` allows ends of segments.
MAX_OVERSHOOT_S = 0.5


def split(text: str) -> list[tuple[float, float, str]]:
    """Start and end in seconds and text of each sentence; none if the text is not of that form.

    >>> split("<|0.00|>Yes.<|1.24|><|1.5|> No.<|2.0|>")
    [(0.0, 1.24, 'Yes.'), (1.5, 2.0, ' No.')]
    >>> split("Yes. <|0.00|>No.<|1.24|>"), split("<|0.00|>Yes."), split("")
    ([], [], [])
    """
    between, starts, texts, ends = (_TIME.split(text)[part::4] for part in range(4))
    if len(ends) < len(starts) or "".join(between).strip():
        return []
    times = zip(map(float, starts), map(float, ends), texts, strict=True)
    return list(times)


def check(
    data: bytes | None, charset: re.Pattern[str] | None, clean: Iterable[str] = ()
) -> tuple[str, list[str], list[dict[str, Any]]]:
    """As `checks.text.check`; and `start_s`, `end_s` and `text` of each sentence that has times.

    The sentences together are the text.
    """
    sentences = split((data or b"").decode("utf-8", "surrogateescape"))
    if sentences:
        data = "".join(text for _, _, text in sentences).encode("utf-8", "surrogateescape")
    whole, flags = text_checks.check(data, charset, clean)
    found: list[dict[str, Any]] = []
    blank = ""
    for start_s, end_s, text in sentences:
        said, _ = text_checks.check(text.encode("utf-8", "surrogateescape"), charset, clean)
        if text[:1].isspace():
            blank = " "
        if said:
            said = blank + said if found else said
            found.append({"start_s": start_s, "end_s": end_s, "text": said})
            blank = " " if text[-1:].isspace() else ""
    return "".join(one["text"] for one in found) or whole, flags, found


def refuse(sentences: Iterable[dict[str, Any]], duration_s: float, where: str) -> None:
    """Refuse times that cannot be; one that is a little behind the end of the audio becomes that.

    Args:
        sentences: as `check` gives them.
        duration_s: of the audio; 0 where there is none, which has a flag.
        where: begins the message.

    Raises:
        DataError: a sentence has no length, does not come after the one before it, or goes on
            behind the audio.
    """
    before_s = 0.0
    for one in sentences:
        start_s, end_s = one["start_s"], one["end_s"]
        behind = duration_s and (start_s >= duration_s or end_s > duration_s + MAX_OVERSHOOT_S)
        if not before_s <= start_s < end_s or behind:
            raise DataError(
                f"{where}: {one['text']!r:.80} is from {start_s:g} to {end_s:g} s; allowed: from "
                f"{before_s:g} s on, where the one before it ends, to the end of the audio at "
                f"{duration_s:.2f} s"
            )
        before_s, one["end_s"] = end_s, min(end_s, duration_s or end_s)
