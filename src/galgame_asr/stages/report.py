"""Stage report: all variants on one page and in tables, and the one metric that DVC compares."""

import json
from collections.abc import Sequence

from galgame_asr.core.files import prune, write_text
from galgame_asr.core.params import read_params
from galgame_asr.core.paths import METRICS, RAW, SCORED, SPLIT, TEST_SETS, TRAINING, VERIFIED
from galgame_asr.core.reader import ShardReader
from galgame_asr.experiment.curriculum import check, of_params
from galgame_asr.formats.common import verified
from galgame_asr.messages.console import run
from galgame_asr.report import load, markdown, page
from galgame_asr.report.collect import collect


def main(_arguments: Sequence[str]) -> None:
    """Collect the scores of every checkpoint with every prompt."""
    params = read_params()
    # So that a score never stands for a phase or prompt that is no more: DVC would go on with
    # what it left in models/.
    check(params)
    curriculum = of_params(params)
    tables = load.tables(SCORED, curriculum)
    # What other params left behind: DVC hashes the folder of the one, git keeps the other.
    trained = [TRAINING / name for name in params["train"]["phases"]]
    prune(TRAINING, {str(f.relative_to(TRAINING)) for path in trained for f in path.glob("*")})
    prune(VERIFIED, {".gitkeep", *(f"{name}.json" for name in params["export"])})
    checked = {name: verified.read(VERIFIED / f"{name}.json") for name in params["export"]}
    results = collect(tables, curriculum)
    clips = load.clip_reader([SPLIT / f"{name}.parquet" for name in TEST_SETS], ShardReader(RAW))
    write_text(METRICS / "report.html", page.build(tables, results, curriculum, clips, checked))
    write_text(METRICS / "report.md", markdown.text(results, checked))
    rates = {found.name: {s.variant.name: s.cer for s in found.scored} for found in results}
    for set_, file in {"test": "cer", "ood": "cer_ood"}.items():
        flat = {name: cer.value for name, cer in rates.get(set_, {}).items() if cer}
        write_text(METRICS / f"{file}.json", json.dumps(flat, indent=1) + "\n")
        # `dvc plots` sorts bars by name.
        lines = [f"{number:02} {name},{cer}\n" for number, (name, cer) in enumerate(flat.items())]
        write_text(METRICS / f"{file}.csv", "".join(["variant,cer\n", *lines]))


if __name__ == "__main__":
    run(main)
