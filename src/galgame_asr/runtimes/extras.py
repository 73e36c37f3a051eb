"""Packages that only some users need, imported by name when they are used."""

import importlib
from types import ModuleType

from galgame_asr.messages.errors import ConfigError


def require(package: str, *, extra: str) -> ModuleType:
    """Import a package, or a module of it, that belongs to an extra of pyproject.toml.

    Raises:
        ConfigError: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"{missing.name} is not installed: pip install -c constraints.txt '.[{extra}]'"
        ) from None
