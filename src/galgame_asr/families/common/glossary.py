"""Glossaries: the names that may be said, of which an utterance holds few."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from galgame_asr.core.params import section

Names = Annotated[tuple[Annotated[str, Field(pattern=r"\S")], ...], Field()]


def _can_be_read(glossary: "Glossary") -> "Glossary":
    for pattern in glossary if isinstance(glossary, dict) else ():
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return glossary


# The same names for every utterance; or by a regular expression, those of the utterances in whose
# CORPUS/ID it is found, such as {^vn/: [葵, 凛]}.
Glossary = Annotated[Names | dict[str, Names], AfterValidator(_can_be_read)]


@section
class PromptGlossary:
    """Which names a prompt takes out of a glossary as hotwords, for each utterance its own.

    As biasing lists are made in the literature (Le et al. 2021, "Contextualized streaming
    end-to-end speech recognition with trie-based deep biasing and shallow fusion"): by what the
    reference holds. In training they are drawn anew in every epoch.
    """

    names: Glossary
    # The names that the text holds; false: of those none, so that all are wrong.
    right: bool = True
    # Names that the text does not hold.
    distractors: Annotated[int, Field(ge=0)] = 0


def names_of(glossary: Glossary, key: str) -> tuple[str, ...]:
    """The names of one utterance's glossary, each once.

    Args:
        glossary: of all utterances.
        key: CORPUS/ID.
    """
    if not isinstance(glossary, dict):
        return tuple(dict.fromkeys(glossary))
    found = (name for p, names in glossary.items() if re.search(p, key) for name in names)
    return tuple(dict.fromkeys(found))
