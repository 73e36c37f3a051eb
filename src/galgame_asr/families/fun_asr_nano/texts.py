"""What goes into a Fun-ASR-Nano as its prompt and comes out as its text, whatever runs it."""

import re

from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.text_tokens import MARK
from galgame_asr.messages.errors import ConfigError

# Japanese, which this project is about.
DEFAULTS = Defaults(prompts=(Prompt(language="日文"),))


def refuse_timestamps(prompt: Prompt) -> None:
    """Refuse a prompt that asks for what the model does not write.

    Raises:
        ConfigError: it asks for timestamps.
    """
    if prompt.timestamps:
        raise ConfigError("timestamps: Fun-ASR-Nano writes none; set it to false in its prompts")


def refuse_marks(prompt: Prompt, reader: str) -> None:
    """Refuse a prompt whose words a reader that is not ours would take for the model's marks.

    Raises:
        ConfigError: a word holds one, such as <|im_end|>.
    """
    for word in (*prompt.hotwords, prompt.language or ""):
        if found := MARK.search(word):
            raise ConfigError(
                f"prompt: {reader} would take {found[0]} in {word!r} for a mark of the model's; "
                "write it without <|...|>"
            )


def tidy(text: str) -> str:
    """The text as FunASRNano.inference_llm of funasr gives it: without signs of silence."""
    return re.sub(r"\s+", " ", text.replace("/sil", " "))
