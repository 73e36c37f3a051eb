"""Names in transcripts: which of the reference's are found, and which are said for nothing."""

import re
from collections import Counter

import pandas as pd

from galgame_asr.families.common.glossary import Glossary, names_of
from galgame_asr.messages.errors import ConfigError
from galgame_asr.scoring.scored import NAMES
from galgame_asr.text.normalise import normalise
from galgame_asr.text.params import NormaliseParams


def count(rows: pd.DataFrame, glossary: Glossary, rules: NormaliseParams) -> pd.DataFrame:
    """Count the names of each utterance, wherever in the text they are: the columns of NAMES.

    Of names that contain each other, the longest counts: 葵ちゃん is no 葵 beside it.

    Args:
        rows: scored utterances; of their columns id, truth and heard are read.
        glossary: the names.
        rules: how the texts were normalised.
    """
    patterns: dict[tuple[str, ...], re.Pattern[str] | None] = {}
    counts = []
    for id_, truth, heard in zip(rows["id"], rows["truth"], rows["heard"], strict=True):
        names = names_of(glossary, id_)
        if names not in patterns:
            patterns[names] = _pattern(names, rules)
        pattern = patterns[names]
        said, found = (Counter(pattern.findall(t) if pattern else ()) for t in (truth, heard))
        counts.append((said.total(), (said & found).total(), found.total()))
    return pd.DataFrame(counts, rows.index, list(NAMES), dtype="int32")


def _pattern(names: tuple[str, ...], rules: NormaliseParams) -> re.Pattern[str] | None:
    known = {normalise(name, rules) for name in names} - {""}
    longest_first = sorted(known, key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, longest_first))) if known else None


def check(glossary: Glossary, ids: "pd.Series[str]") -> None:
    """Refuse a glossary for utterances that there are not.

    Args:
        glossary: the names.
        ids: CORPUS/ID of all that are scored.

    Raises:
        ConfigError: a pattern is found in none.
    """
    for pattern in glossary if isinstance(glossary, dict) else ():
        if not ids.str.contains(pattern, regex=True).any():
            raise ConfigError(
                f"score.names has names for {pattern!r}, which is found in none of {len(ids)} "
                f"utterances, such as {', '.join(ids.head(3))}"
            )
