"""A run of which only the baselines are missing: sets, their audio, and one decoded checkpoint."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from galgame_asr.core import utterances
from galgame_asr.core.paths import DECODED, DECODED_SETS, RAW, SPLIT
from galgame_asr.decoding import transcripts
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.stages import baseline, report, score
from tests.conftest import REPOSITORY
from tests.phases import write_rows


@dataclass(frozen=True)
class Run:
    """Ten utterances of noise: three of the dev sample, four of test, three of another corpus."""

    sets: dict[str, pd.DataFrame]

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change params.yaml, which is in the working directory."""
        yaml = YAML()
        values = yaml.load(Path("params.yaml"))
        change(values)
        yaml.dump(values, Path("params.yaml"))

    def decode(self, name: str, entry: dict[str, Any]) -> dict[str, transcripts.Transcripts]:
        """Run stage baseline for an entry; what it wrote, by prompt."""
        self.edit(lambda values: values["baselines"].update({name: entry}))
        baseline.main([name])
        files = sorted((DECODED / name).iterdir())
        return {file.stem: transcripts.read(file) for file in files}

    def report(self) -> str:
        """Run the stages after it; report.md."""
        score.main([])
        report.main([])
        return Path("metrics/report.md").read_text()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """In the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    table = write_rows(tmp_path / RAW)
    table.loc[7:, "corpus"] = "reading"
    parts = dict(zip(DECODED_SETS, (table[:3], table[3:7], table[7:]), strict=True))
    made = Run({name: part.reset_index(drop=True) for name, part in parts.items()})
    made.edit(
        lambda values: (values.update(export={}), values["decode"].update(checkpoints=["base"]))
    )
    for name, rows in made.sets.items():
        utterances.write(tmp_path / SPLIT / f"{name}.parquet", rows)
    for prompt in ("none", "japanese"):
        said = {
            name: {
                key: Transcript(f"え{text}", 9, -1.0)
                for key, text in zip(transcripts.keys(rows), rows["text"], strict=True)
            }
            for name, rows in made.sets.items()
        }
        transcripts.write(DECODED / f"base-{prompt}.jsonl", said)
    return made
