"""Tokens of what people wrote: whatever is written like a mark of the model's is text."""

import re
from typing import Any

from galgame_asr.messages.errors import CheckpointError

# Marks that not every tokenizer calls special: Whisper's timestamps, Qwen's marks of code.
MARK = re.compile(r"<\|[^|]*\|>")


class TextTokenizer:
    """Tokenizes texts, in which nothing ends the text, begins another, or names a time.

    A mark such as <|im_end|> is cut after its first character and tokenized as its two
    halves. The `split_special_tokens` of transformers leaves marks whole that a tokenizer
    does not call special.

    Raises:
        CheckpointError: the tokenizer finds a mark in the halves.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        marks = {n: t.content for n, t in added if t.special or MARK.fullmatch(t.content)}
        heads: dict[str, list[str]] = {}
        for mark in marks.values():
            heads.setdefault(re.escape(mark[:1]), []).append(re.escape(mark[1:]))
        places = (f"(?<={head})(?={'|'.join(rest)})" for head, rest in heads.items())
        self._cut = re.compile("|".join(places) or "(?!)")
        # Read back, as this rests on how another library finds its marks.
        if found := set(self("".join(marks.values()))) & marks.keys():
            shown = ", ".join(sorted(marks[token] for token in found)[:5])
            raise CheckpointError(f"the tokenizer takes {shown} in a text for its own marks")

    def __call__(self, text: str, *, after: str = "") -> list[int]:
        """The tokens of a text; of `after`, which it follows, too, in which marks are marks."""
        first, *rest = self._cut.split(text)
        return [
            token
            for part in (after + first, *rest)
            for token in self._tokenizer.encode(part, add_special_tokens=False)
        ]
