"""Section `score`: how transcripts are compared with references."""

import re

from pydantic import field_validator

from galgame_asr.core.params import section
from galgame_asr.families.common.glossary import Glossary
from galgame_asr.text.params import NormaliseParams


@section
class ScoreParams:
    """Scoring: normalised texts, and words and readings by SudachiPy."""

    normalise: NormaliseParams
    # Version of sudachidict-core. Another one has other words and readings, so other rates:
    # it stands here for DVC to score all variants again when it changes.
    dictionary: str
    # By corpus: a regular expression that finds the name of an utterance's group in its id.
    groups: dict[str, str]
    # Character names and the like, whose recall and precision are told beside the error rates.
    names: Glossary

    @field_validator("groups")
    @classmethod
    def _groups_are_named(cls, groups: dict[str, str]) -> dict[str, str]:
        for corpus, pattern in groups.items():
            try:
                named = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(
                    f"{corpus}: {pattern!r} is no regular expression: {error}"
                ) from None
            if not named:
                raise ValueError(
                    f"{corpus}: {pattern!r} has no part in (), which is the name of the group"
                )
        return groups
