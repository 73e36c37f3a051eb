"""What a phase notes about its speed."""

import time
from pathlib import Path

import pandas as pd

from galgame_asr.training.progress import Watch


def test_scoring_is_no_part_of_the_steps_speed(tmp_path: Path) -> None:
    """A dev set of half a second between two steps leaves them as quick as they were."""
    with Watch(2, 0, tmp_path, tensorboard=False) as watch:
        for step in (1, 2):
            time.sleep(0.05)
            watch.row({"step": step, "loss": 1.0, "audio_s": 10.0})
            with watch.pause():
                time.sleep(0.5)
    speeds = pd.read_csv(tmp_path / "speed.tsv", sep="\t")["audio_s_per_s"]
    assert (speeds > 10 / 0.5).all()
    assert (speeds <= 10 / 0.05).all()
