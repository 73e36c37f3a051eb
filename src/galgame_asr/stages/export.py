"""Stage export@NAME: one checkpoint in the format of another runtime, models/export/NAME."""

from collections.abc import Sequence

from galgame_asr.core.files import atomic_directory
from galgame_asr.core.params import entry, load
from galgame_asr.core.paths import EXPORTS, MACHINE, MODELS
from galgame_asr.families.common import compute, defaults
from galgame_asr.families.common.params import ComputeParams
from galgame_asr.formats.common import exporter as exporting
from galgame_asr.formats.common.params import Export
from galgame_asr.messages.console import run


def main(arguments: Sequence[str]) -> None:
    """Write the export named by the only argument."""
    (name,) = arguments
    compute.set_up(load(ComputeParams, "compute"), MACHINE)
    params: Export = entry("galgame_asr.formats", f"export.{name}", "format")
    checkpoint = MODELS / params.checkpoint
    with atomic_directory(EXPORTS / name) as output:
        exporting.load(params.format).export(checkpoint, output, params.precision)
        defaults.copy(checkpoint, output)


if __name__ == "__main__":
    run(main)
