"""Section `prompts`: what the model is told before it hears the speech."""

from typing import Annotated

from pydantic import Field

from galgame_asr.params import section


@section
class Prompt:
    """The parts that a family composes its instruction from."""

    # Target language as the family names it (Fun-ASR-Nano: 日文; Whisper: ja or japanese).
    # null leaves it out; Whisper then detects it, and cannot be trained so.
    language: str | None = None
    # Words to expect, such as character names.
    hotwords: tuple[str, ...] = ()
    # Ask for numbers as digits and the like (inverse text normalisation); Fun-ASR-Nano can
    # do without.
    itn: bool = True
    # Write when speech begins and ends; Whisper alone, whose text is the same otherwise.
    timestamps: bool = False


Prompts = Annotated[dict[str, Prompt], Field(min_length=1)]
