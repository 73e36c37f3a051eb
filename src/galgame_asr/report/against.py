"""The report page of the workspace beside another revision: `galgame-asr report --compare`."""

from pathlib import Path

from galgame_asr.core.files import write_text
from galgame_asr.core.paths import RAW, SCORED, SPLIT, TEST_SETS
from galgame_asr.core.reader import ShardReader
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.report import load, page
from galgame_asr.report.collect import collect
from galgame_asr.report.revision import scored_tables


def write(revision: str, curriculum: Curriculum, output: Path) -> list[str]:
    """Write the page, with rows of the other revision and paired decisions.

    Returns:
        what to tell the user: how much could be paired.

    Raises:
        ConfigError: there is no such revision.
        DataError: scores of the workspace or of the revision cannot be read.
    """
    tables = load.tables(SCORED, curriculum)
    with scored_tables(revision, SCORED) as directory:
        others = load.tables(directory, curriculum, revision)
    results = collect(tables | others, curriculum)
    clips = load.clip_reader([SPLIT / f"{name}.parquet" for name in TEST_SETS], ShardReader(RAW))
    write_text(output, page.build(tables | others, results, curriculum, clips, {}))
    return [
        f"{output}: {len(others)} of {len(tables)} variants are in {revision} too",
        *(
            f"{found.title}: {found.revision[0].utterances} of {found.utterances} utterances in "
            "common"
            for found in results
            if found.revision
        ),
    ]
