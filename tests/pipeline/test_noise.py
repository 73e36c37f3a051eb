"""Music and noise, from a corpus into training speech, and in no set of utterances."""

import io
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch

from galgame_asr.core.reader import ShardReader
from galgame_asr.families.common import family as families
from galgame_asr.messages.errors import UtteranceError
from galgame_asr.shards import tar
from galgame_asr.training.batches import Pick
from galgame_asr.training.dataset import Utterances
from galgame_asr.training.params import AugmentParams, NoiseParams
from tests.models import JAPANESE, build, noise
from tests.pipeline.conftest import Workspace
from tests.pipeline.test_interruption import kill_in_mid_phase

BGM = {"kind": "synthetic", "recipe": "noise", "utterances": 12, "seed": 5, "shard_size": 8}
DATA_STAGES = [
    "fetch@bgm", "manifest@bgm", "mix@adaptor", "mix@full", "mix_base@tiny", "split",
]  # fmt: skip


@pytest.fixture
def clips(rows: pd.DataFrame) -> pd.DataFrame:
    """Two clips beside the utterances, of 0.3 and 3 s."""
    files = []
    for number, seconds in enumerate((0.3, 3.0)):
        buffer = io.BytesIO()
        sf.write(buffer, noise(seconds, 100 + number), 16_000, format="FLAC")
        files.append((f"c{number}.flac", buffer.getvalue()))
    tar.write(rows.attrs["root"] / "bgm.tar", files)
    found = rows[:2].assign(corpus="bgm", shard="bgm.tar", upstream_set="not_speech", text="")
    found["flags"] = [["not_speech"]] * 2
    found["duration_s"] = [0.3, 3.0]
    members = list(tar.members(rows.attrs["root"] / "bgm.tar"))
    found["id"] = [member.name.removesuffix(".flac") for member in members]
    found["offset"] = [member.offset for member in members]
    found["size"] = [member.size for member in members]
    return found


def test_what_an_utterance_is_heard_over_depends_on_it_and_its_epoch(
    rows: pd.DataFrame, clips: pd.DataFrame, tmp_path: Path
) -> None:
    """Not on what was read before; the others are as they are, and kept as they are.

    With other speeds it is mixed in after them, and lengths stay.
    """
    family = families.load("fun_asr_nano", build(tmp_path / "model"))
    augment = AugmentParams(speeds=(0.9, 1.0), noise=NoiseParams(share=0.5, snr_db=(0.0, 5.0)))

    def utterances(**change: Any) -> Utterances:
        values: dict[str, Any] = {
            "prompts": [JAPANESE], "cache_bytes": 10**8, "augment": augment, "noise": clips,
        }  # fmt: skip
        return Utterances(rows, family, ShardReader(rows.attrs["root"]), **values | change)

    noisy, plain = utterances(), utterances(augment=None)
    picks = [Pick(epoch, row, speed) for epoch in range(4) for row in range(10)
             for speed in (1.0, 0.9)]  # fmt: skip
    first = [noisy[pick].features for pick in picks]
    again = utterances(cache_bytes=0)
    for pick, features in reversed(list(zip(picks, first, strict=True))):
        assert torch.equal(again[pick].features, features)
    clean = [plain[pick].features for pick in picks]
    assert [len(one) for one in first] == [len(one) for one in clean]
    same = [torch.equal(one, other) for one, other in zip(first, clean, strict=True)]
    assert 20 < sum(same) < 60
    by_row = {(pick.row, pick.speed): set[bool]() for pick in picks}
    for pick, is_clean in zip(picks, same, strict=True):
        by_row[pick.row, pick.speed].add(is_clean)
    assert {True, False} in by_row.values(), "what was kept of one epoch is not that of another"
    other = utterances(seed=1)
    assert not all(
        torch.equal(other[pick].features, one) for pick, one in zip(picks, first, strict=True)
    )


def test_music_to_be_silent_about_is_cut_at_a_drawn_place(
    rows: pd.DataFrame, clips: pd.DataFrame, tmp_path: Path
) -> None:
    """To the length that its row says, anew in each epoch; speech of another length is not."""
    family = families.load("fun_asr_nano", build(tmp_path / "model"))
    reader = ShardReader(rows.attrs["root"])
    learnt = clips.assign(duration_s=clips["duration_s"].clip(upper=1.0))
    examples = Utterances(learnt, family, reader, prompts=[JAPANESE], cache_bytes=10**8)
    pieces = [examples[Pick(epoch, 1, 1.0)] for epoch in range(3)]
    expected = len(family.features(np.zeros(16_000, np.float32)))
    assert [len(piece.features) for piece in pieces] == [expected] * 3
    assert not torch.equal(pieces[0].features, pieces[1].features)
    assert torch.equal(pieces[2].features, examples[Pick(2, 1, 1.0)].features)
    batch = family.training_batch([examples[Pick(0, 0, 1.0)], pieces[0]])
    assert family.num_labels(batch) == 2
    learnt["flags"] = [[], []]
    with pytest.raises(UtteranceError, match=r"its audio has 3\.00 s, its row says 1\.00"):
        Utterances(learnt, family, reader, prompts=[JAPANESE], cache_bytes=0)[Pick(0, 1, 1.0)]


def test_a_phase_over_noise(workspace: Workspace) -> None:
    """It is trained by what names it, in no set, and resumed in the same bytes.

    With other noise that phase is to be trained again and nothing else.
    """

    def add(values: dict[str, Any]) -> None:
        values["corpora"]["bgm"] = BGM
        values["train"]["phases"]["full"] |= {
            "epochs": 24,
            "mix": {"vn": 1.0, "bgm": 0.5},
            "augment": {"noise": {"share": 0.7, "snr_db": [0.0, 10.0]}},
        }

    before = workspace.output_hash("mix@adaptor")
    workspace.edit(add)
    first = sorted([*DATA_STAGES, "corrections@bgm", "train@full"])
    assert sorted(workspace.repro("train@full")) == first
    assert workspace.output_hash("mix@adaptor") == before
    whole = workspace.output_hash("train@full")
    for name in ("train", "dev", "test", "ood"):
        assert "bgm" not in set(
            pd.read_parquet(workspace.root / f"data/split/{name}.parquet")["corpus"]
        )
    left_out = pd.read_parquet(workspace.root / "data/split/left_out.parquet")
    assert (
        left_out["flags"][left_out["corpus"] == "bgm"].map(list).tolist() == [["not_speech"]] * 12
    )
    train = pd.read_parquet(workspace.root / "data/mix/full/train.parquet")
    assert set(train["text"][train["corpus"] == "bgm"]) == {""}
    assert len(pd.read_parquet(workspace.root / "data/mix/full/noise.parquet")) == 12
    assert not (workspace.root / "data/mix/adaptor/noise.parquet").exists()

    shutil.rmtree(workspace.root / "models/full")
    shutil.rmtree(workspace.root / ".dvc/cache/runs")
    repro = ["dvc", "repro", "--force", "--single-item", "train@full"]
    kill_in_mid_phase(workspace, "train@full", repro, signal.SIGKILL)
    machine = {"workers": 1, "feature_cache_mb": 0}
    workspace.edit(lambda values: values["machine"].update(machine))
    assert "resuming at" in workspace.run(*repro).stdout
    assert workspace.output_hash("train@full") == whole

    workspace.edit(lambda values: values["corpora"]["bgm"].update(seed=6))
    mixes = [stage for stage in DATA_STAGES if stage.startswith("mix")]
    assert sorted(workspace.repro(*mixes)) == DATA_STAGES
    for phase, is_changed in (("adaptor", False), ("full", True)):
        status = json.loads(workspace.run("dvc", "status", "--json", f"train@{phase}").stdout)
        assert (f"train@{phase}" in status) == is_changed
