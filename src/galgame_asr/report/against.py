"""The report page of the workspace beside other results: `galgame-asr report --compare`."""

from pathlib import Path

import pandas as pd

from galgame_asr.core.files import write_text
from galgame_asr.core.params import PARAMS_FILE, read_yaml
from galgame_asr.core.params import load as load_params
from galgame_asr.core.paths import RAW, SCORED, SPLIT, TEST_SETS
from galgame_asr.core.reader import ShardReader
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.experiment.revision import state
from galgame_asr.messages.errors import ConfigError
from galgame_asr.report import load, page, results_file
from galgame_asr.report.collect import Tables, collect
from galgame_asr.report.results import Variant
from galgame_asr.report.revision import scored_tables
from galgame_asr.scoring.params import ScoreParams

LOCK = Path("dvc.lock")
RESULTS_FILE = ".json"  # the end of its name


def write(other: str, curriculum: Curriculum, output: Path) -> list[str]:
    """Write the page, with rows of the other results and paired decisions.

    Args:
        other: a revision, or a results file, which ends in .json.
        curriculum: of the workspace.
        output: the page.

    Returns:
        what to tell the user: how much could be paired.

    Raises:
        ConfigError: there is no such revision; a results file has another version or was scored by
            other settings.
        DataError: scores of the workspace or the other results cannot be read; a results file
            shares no utterance with the workspace.
    """
    tables = load.tables(SCORED, curriculum)
    if other.endswith(RESULTS_FILE):
        others, said = _of_file(Path(other), tables)
        browsed = tables  # there are no texts of the others
    else:
        with scored_tables(other, SCORED) as directory:
            others, said = load.tables(directory, curriculum, other), []
        browsed = tables | others
    results = collect(tables | others, curriculum)
    clips = load.clip_reader([SPLIT / f"{name}.parquet" for name in TEST_SETS], ShardReader(RAW))
    write_text(output, page.build(browsed, results, curriculum, clips, {}))
    same = sum(Variant(v.checkpoint, v.prompt) in tables for v in others)
    more = f", {len(others) - same} more stand beside the best here" if len(others) > same else ""
    return [
        f"{output}: {same} of {len(tables)} variants are in {other} too{more}",
        *said,
        *(
            f"{found.title}: {found.revision[0].utterances} of {found.utterances} utterances in "
            "common"
            for found in results
            if found.revision
        ),
    ]


def export(curriculum: Curriculum, output: Path) -> list[str]:
    """Write the workspace's results to a file that can be handed on.

    Returns:
        what to tell the user: what it holds.

    Raises:
        ConfigError: section score of params.yaml is not valid, or has changed since.
        DataError: scores of the workspace cannot be read.
    """
    tables = load.tables(SCORED, curriculum)
    sets = results_file.write(output, tables, _scored_by(), state())
    counts = ", ".join(f"{count:,} utterances of {name}" for name, count in sets.items())
    return [f"{output}: {len(tables)} variants, {counts}; no text and no id"]


def _of_file(path: Path, tables: Tables) -> tuple[dict[Variant, pd.DataFrame], list[str]]:
    """The variants of a results file, and what to say of it."""
    found = results_file.read(path, _scored_by())
    own = results_file.keys(next(iter(tables.values())))
    others = results_file.tables(path, found, own)
    return others, [f"{path}: {results_file.described(found)}"]


def _scored_by() -> ScoreParams:
    """What data/scored was made by: what params.yaml has, if nothing was changed since.

    Raises:
        ConfigError: something was.
    """
    params = load_params(ScoreParams, "score")
    lock = read_yaml(LOCK)["stages"].get("score", {}) if LOCK.is_file() else {}
    if lock:
        now, then = results_file.settings(params), lock["params"][str(PARAMS_FILE)]["score"]
        known = {key: then.get(key) for key in now}
        if others := results_file.differences(known, now, f"in {LOCK}"):
            raise ConfigError(f"{SCORED} was made by other settings: {others}; `dvc repro score`")
    return params
