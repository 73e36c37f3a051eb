"""Small tables of scored utterances, as the report reads them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from galgame_asr.core import utterances
from galgame_asr.core.paths import DEV_SAMPLE, TEST_SETS
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.formats.common.verified import Verified
from galgame_asr.report.results import Variant
from galgame_asr.scoring import scored
from galgame_asr.scoring.utterances import score
from galgame_asr.scoring.words import Words
from galgame_asr.text.params import NormaliseParams

CURRICULUM = Curriculum(
    checkpoints=("base", "full/p50", "full/p100", "averaged"),
    prompts=("none", "japanese"),
    inits={"full": "base"},
    averaged={"averaged": "full"},
)
PLAIN = Verified(
    checkpoint="full/p100", format="sherpa", precision="int8", runtime="sherpa-onnx 2.0.1",
    problems=[], utterances=40, equal=39, distinct=38, cer=0.1213, cer_front_end=0.12,
    cer_checkpoint=0.11, log_prob_difference=None, by_command=(3, 4),
    differences={"a": 1.2e-4, "b": 0.034}, size_mb=2.3, size_mb_checkpoint=5.6,
)  # fmt: skip
REFUSED = ["1 of 40 texts are equal (export.small.verify.min_equal is 0.9)"]
# One passed its gate, the other did not.
EXPORTS = {"plain": PLAIN, "small": replace(PLAIN, equal=1, problems=REFUSED)}
# How often a character is wrong.
RATES = {"base": 0.5, "full/p50": 0.25, "full/p100": 0.1, "averaged": 0.1}
LINES = (
    "葵、おはよう。",
    "えへへ、先輩はずるいね！",
    "ん…、もう帰ろうよ。",
    "すごーい、ありがとう",
)


def texts(utterances: int) -> dict[str, str]:
    """References by id."""
    return {f"{number:04}": LINES[number % len(LINES)] for number in range(utterances)}


def heard(text: str, rate: float, draw: random.Random) -> str:
    """A reference with characters replaced, left out and added."""
    made = ""
    for character in text:
        made += draw.choice(["", "い", character + "ね"]) if draw.random() < rate else character
    return made


def table(sets: Mapping[str, Mapping[str, tuple[str, str]]]) -> pd.DataFrame:
    """A table out of reference and transcript by set and id."""
    words = Words()
    parts = []
    for name, pairs in sets.items():
        references = pd.DataFrame(
            [("vn", id_, 0.5 + len(pair[0]) / 8, pair[0]) for id_, pair in pairs.items()],
            columns=["corpus", "id", "duration_s", "text"],
        )
        transcripts = {
            f"vn/{id_}": Transcript(text, len(text) + 1, -0.1 * len(text))
            for id_, (_, text) in pairs.items()
        }
        parts.append(score(name, references, transcripts, NormaliseParams(), words))
    rows = [row for part in parts for row in part.to_dict("records")]
    return scored.frame({str(key): value for key, value in row.items()} for row in rows)


def tables(
    curriculum: Curriculum = CURRICULUM,
    sets: Sequence[str] = (*TEST_SETS, DEV_SAMPLE),
    utterances: int = 40,
) -> dict[Variant, pd.DataFrame]:
    """A table of each variant, with fewer errors later in the curriculum."""
    found = {}
    for checkpoint, prompt in curriculum.variants():
        draw = random.Random(f"{checkpoint} {prompt}")
        found[Variant(checkpoint, prompt)] = table(
            {
                name: {
                    id_: (text, heard(text, RATES.get(checkpoint, 0.2), draw))
                    for id_, text in texts(utterances).items()
                }
                for name in sets
            }
        )
    return found


def manifest_without_rows(path: Path) -> None:
    """The manifest of a set whose audio is not there."""
    empty = utterances.SCHEMA.empty_table().to_pandas()
    utterances.write(path, empty)
