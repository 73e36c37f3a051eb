"""What goes into a Fun-ASR-Nano as its prompt and comes out as its text, whatever runs it."""

import re

from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.params import Prompt
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


def tidy(text: str) -> str:
    """The text as FunASRNano.inference_llm of funasr gives it: without signs of silence."""
    return re.sub(r"\s+", " ", text.replace("/sil", " "))
