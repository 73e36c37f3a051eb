"""Packages that only some users need."""

import contextlib
from collections.abc import Iterator

from galgame_asr.messages.errors import ConfigError


@contextlib.contextmanager
def of_extra(name: str) -> Iterator[None]:
    """Around imports of packages that belong to an extra of pyproject.toml.

    Raises:
        ConfigError: one is not installed; the message says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"{missing.name} is not installed: pip install -c constraints.txt -e '.[{name}]'"
        ) from None
