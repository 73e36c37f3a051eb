"""Stage report: all variants in one table, and the one flat metric that DVC compares."""

import json
from collections.abc import Sequence

from galgame_asr.console import run
from galgame_asr.files import prune, write_text
from galgame_asr.params import PARAMS_FILE, parse, read_yaml
from galgame_asr.params.whole import Params
from galgame_asr.paths import METRICS
from galgame_asr.report import table
from galgame_asr.scoring.counts import ErrorCounts


def main(_arguments: Sequence[str]) -> None:
    """Collect the scores of every checkpoint with every prompt."""
    # All of params, so that a score never stands for a phase or prompt that is no more: DVC
    # would go on with what it left in models/.
    params = parse(Params, read_yaml(PARAMS_FILE), "")
    checkpoints, prompts = params.decode.checkpoints, list(params.prompts)
    variants = {(c, p): f"{c}-{p}" for c in checkpoints for p in prompts}
    # DVC hashes the folder, so scores of variants that are no more must go.
    prune(METRICS / "variants", {f"{name}.json" for name in variants.values()})
    scores: dict[tuple[str, str], dict[str, ErrorCounts]] = {}
    for key, name in variants.items():
        saved = json.loads((METRICS / "variants" / f"{name}.json").read_text())
        scores[key] = {set_: ErrorCounts.from_json(counts) for set_, counts in saved.items()}
    write_text(METRICS / "report.md", table.markdown(scores, checkpoints, prompts))
    for set_, file in {"test": "cer", "ood": "cer_ood"}.items():
        flat = {n: round(scores[k][set_].cer, 4) for k, n in variants.items() if set_ in scores[k]}
        write_text(METRICS / f"{file}.json", json.dumps(flat, indent=1) + "\n")
        csv = "variant,cer\n" + "".join(f"{name},{cer}\n" for name, cer in flat.items())
        write_text(METRICS / f"{file}.csv", csv)


if __name__ == "__main__":
    run(main)
