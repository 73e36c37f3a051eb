"""Section `prompts`: what the model is told before it hears the speech."""

from typing import Annotated

from pydantic import Field

from galgame_asr.params import section


@section
class Prompt:
    """The parts that a family composes its instruction from."""

    # Target language as the family names it (Fun-ASR-Nano: 日文); null leaves it out.
    language: str | None = None
    # Words to expect, such as character names.
    hotwords: tuple[str, ...] = ()
    # Ask for numbers as digits and the like (inverse text normalisation).
    itn: bool = True


Prompts = Annotated[dict[str, Prompt], Field(min_length=1)]
