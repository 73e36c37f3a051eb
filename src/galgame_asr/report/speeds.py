"""The report page with speed and size beside the rates: `galgame-asr report --speed`.

metrics/report.html has neither, as its bytes would be others after each run.
"""

from collections.abc import Sequence
from pathlib import Path

from galgame_asr.core.files import write_text
from galgame_asr.core.paths import RAW, SCORED, SPEED, SPLIT, TEST_SETS
from galgame_asr.core.reader import ShardReader
from galgame_asr.decoding import speed
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.messages.errors import DataError
from galgame_asr.report import formats, load, markdown, page, sentences
from galgame_asr.report.collect import collect
from galgame_asr.report.results import Results, Variant
from galgame_asr.report.sentences import Speeds


def write(curriculum: Curriculum, output: Path) -> str:
    """Write the page, and say the figures for a terminal.

    Raises:
        DataError: scores cannot be read, or no speed was recorded.
    """
    speeds = read(SPEED, curriculum)
    tables = load.tables(SCORED, curriculum)
    results = collect(tables, curriculum)
    clips = load.clip_reader([SPLIT / f"{name}.parquet" for name in TEST_SETS], ShardReader(RAW))
    write_text(output, page.build(tables, results, curriculum, clips, {}, speeds))
    return "\n\n".join(
        [*(_table(found, speeds) for found in results), *sentences.speed_legend(speeds)]
    )


def read(directory: Path, curriculum: Curriculum) -> dict[Variant, speed.Speed]:
    """What was recorded of the variants.

    Raises:
        DataError: nothing.
    """
    names = [Variant(*names) for names in curriculum.variants()]
    found = {name: speed.read(directory / f"{name.name}.json") for name in names}
    known = {name: one for name, one in found.items() if one}
    if not known:
        raise DataError(
            f"{directory} has no speed of any variant: decoding by one process records it, and "
            "`dvc repro --force --single-item decode@CHECKPOINT-PROMPT` decodes again"
        )
    return known


def _table(results: Results, speeds: Speeds) -> str:
    rows: list[Sequence[str]] = [
        [
            scored.variant.checkpoint,
            scored.variant.prompt,
            formats.rate(scored.cer),
            formats.interval(scored.cer),
            *formats.speed(speeds.get(scored.variant)),
        ]
        for scored in results.scored
    ]
    head = ["checkpoint", "prompt", "CER", "95% interval", "RTFx", "range", "runs", "MB"]
    return f"**{results.title}**\n\n" + "\n".join(markdown.table(head, rows))
