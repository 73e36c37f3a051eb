"""Formats of other runtimes, one room each, named like the format in params.

An export counts only after it said the same as its checkpoint: stage verify.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from galgame_asr.families.common.family import FrontEnd


class Exporter(Protocol):
    """What the module of a format has.

    Where a runtime has a command that can be installed, also `say(directory, audios)`: 16 kHz
    mono samples to texts by that command, with its own prompt; None where it is not installed.
    """

    # The module of runtimes/ that decodes an export, and the package that it does so with.
    RUNTIME: str
    PACKAGE: str

    def export(self, checkpoint: Path, output: Path, precision: str) -> None:
        """Fill the empty directory `output`; equal checkpoints give equal bytes.

        Raises:
            ConfigError: a package of an extra is not installed.
            ExportError: the checkpoint is none that the runtime can run.
        """

    def front_end(self, checkpoint: Path) -> FrontEnd | None:
        """The features that the runtime computes, for the checkpoint; None: its own."""

    def differences(self, checkpoint: Path, directory: Path) -> Mapping[str, float]:
        """How far an export is from its checkpoint, by file.

        The largest difference of a tensor, in the file or computed with it, as a share of the
        largest value of the checkpoint's. Empty where nothing can be read back.
        """


def load(format_: str) -> Exporter:
    """The module of a format."""
    return cast("Exporter", importlib.import_module(f"galgame_asr.formats.{format_}.export"))
