"""Stage export@NAME: one checkpoint in the format of another runtime, models/export/NAME."""

from collections.abc import Sequence

from galgame_asr import compute, exporting
from galgame_asr.console import run
from galgame_asr.files import atomic_directory
from galgame_asr.params import load
from galgame_asr.params.compute import ComputeParams
from galgame_asr.params.export import Export
from galgame_asr.paths import EXPORTS, MACHINE, MODELS


def main(arguments: Sequence[str]) -> None:
    """Write the export named by the only argument."""
    (name,) = arguments
    compute.set_up(load(ComputeParams, "compute"), MACHINE)
    params = load(Export, f"export.{name}")
    with atomic_directory(EXPORTS / name) as output:
        exporting.load(params.format).export(MODELS / params.checkpoint, output, params.precision)


if __name__ == "__main__":
    run(main)
