"""A first try on part of a corpus that comes in shards: the first of them, by name."""

from collections.abc import Mapping

from galgame_asr.corpora.common.types import Limit
from galgame_asr.messages.errors import ConfigError


def first_shards(shards: Mapping[str, int | None], limit: Limit | None) -> list[str]:
    """Names of the shards that a limit takes, sorted; those of a smaller limit are among them.

    Args:
        shards: utterances of each; None where nobody counted them.
        limit: a share of the shards, at least one, or so many utterances.

    Raises:
        ConfigError: a number of utterances is asked for, and they are not counted.
    """
    names = sorted(shards)
    if limit is None:
        return names
    if isinstance(limit, float):
        return names[: max(round(limit * len(names)), 1)]
    taken, utterances = [], 0
    for name in names:
        count = shards[name]
        if count is None:
            raise ConfigError(
                f"limit is {limit} utterances, and nobody says how many {name} holds; give a "
                "share of the shards, such as 0.01, or `counts`"
            )
        taken.append(name)
        utterances += count
        if utterances >= limit:
            break
    return taken
