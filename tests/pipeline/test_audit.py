"""An audit of a smaller default's labels: apart from the run, resumed, and into one phase's mix."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from galgame_asr.auditing import compare, hearing
from galgame_asr.core import utterances
from tests.pipeline.conftest import Workspace

AUDIT: dict[str, Any] = {
    "checkpoints": ["full/p100", "full/p50"],
    "corpora": {
        "vn": {
            "sample": 1.0,
            "thresholds": {
                # A model of two epochs hears nearly nothing rightly: a third is beyond.
                "disagrees": {"quantile": 0.66},
                "label_short": {"quantile": 0.1},
                "label_long": {"value": 2.0},
            },
        }
    },
}
PATIENCE_S = 120
# Few rows to a part, and time to be killed between two.
SLOW = """
import sys, time
from galgame_asr.auditing import hearing
from galgame_asr.messages.console import run
from galgame_asr.stages import hear
table = hearing._table
def slow(*arguments):
    time.sleep(pause)
    return table(*arguments)
pause = float(sys.argv.pop())
hearing._table, hearing.ROWS = slow, 4
run(hear.main)
"""


def audit(workspace: Workspace, models: int = 2) -> None:
    change = AUDIT | {"checkpoints": AUDIT["checkpoints"][:models]}
    workspace.edit(lambda values: values["audit"].update(change))


def found(workspace: Workspace) -> pd.DataFrame:
    return compare.read(workspace.root / "data/audit/vn.parquet")


def train_rows(workspace: Workspace, phase: str) -> set[str]:
    return set(utterances.read(workspace.root / f"data/mix/{phase}/train.parquet")["id"])


def test_an_audit_runs_alone_and_another_threshold_hears_nothing_again(
    workspace: Workspace,
) -> None:
    """No other stage depends on it; its rows are the corpus's training rows, and both models'."""
    audit(workspace)
    hearing_ = ["hear@vn-full/p100", "hear@vn-full/p50"]
    assert sorted(workspace.repro()) == ["audit@vn", *hearing_]
    train = utterances.read(workspace.root / "data/split/train.parquet")
    own = train[train["corpus"] == "vn"].sort_values("id")
    rows = found(workspace)
    assert rows["id"].tolist() == own["id"].tolist()
    assert rows["label"].tolist() == own["text"].tolist()
    heard = hearing.read(workspace.root / "data/heard/vn/full/p100.parquet")
    assert [texts[0] for texts in rows["hypotheses"]] == heard["text"].tolist()
    assert 0 < rows["flags"].map(len).gt(0).sum() < len(rows)
    before = workspace.output_hash("audit@vn")

    def loosen(values: Any) -> None:
        values["audit"]["corpora"]["vn"]["thresholds"]["disagrees"] = {"quantile": 0.9}

    workspace.edit(loosen)
    assert workspace.repro() == ["audit@vn"]
    assert workspace.output_hash("audit@vn") != before
    workspace.edit(lambda values: values["audit"].update(checkpoints=["full/p100"]))
    assert workspace.repro() == ["audit@vn"]
    assert not (workspace.root / "data/heard/vn/full/p50.parquet").exists()


def test_a_phase_leaves_out_what_it_is_told_and_no_other_does(workspace: Workspace) -> None:
    """By a file that git keeps; the phase that the audit's models come from stays as it is."""

    def add(values: Any) -> None:
        phase = values["train"]["phases"]["full"]
        values["train"]["phases"]["polished"] = phase | {"init": "full/p50"}

    workspace.edit(add)
    audit(workspace, models=1)
    workspace.run("dvc", "repro", "audit@vn")
    rows = found(workspace)
    out = set(rows["id"][rows["flags"].map(lambda flags: "disagrees" in flags)])
    done = workspace.run("galgame-asr", "audit", "vn", "--exclude", "--phase", "polished")
    assert f"exclusions/polished/vn.tsv: {len(out)} lines added" in done.stdout
    ran = workspace.repro()
    assert {"mix@polished", "train@polished"} <= set(ran)
    assert not {"train@full", "train@adaptor", "build@tiny", "audit@vn"} & set(ran)
    assert train_rows(workspace, "full") - train_rows(workspace, "polished") == out
    assert workspace.repro() == []


def test_a_corpus_that_is_not_audited_is_refused(workspace: Workspace) -> None:
    """As is a phase that is none, in one line."""
    done = workspace.run("galgame-asr", "audit", "vn", check=False)
    assert "ConfigError: audit.corpora has no 'vn'" in done.stdout
    audit(workspace)
    done = workspace.run("galgame-asr", "audit", "vn", "--exclude", "--phase", "ful", check=False)
    assert "train.phases has no 'ful'. Did you mean 'full'" in done.stdout
    done = workspace.run("galgame-asr", "audit", "vn", check=False)
    assert "data/audit/vn.parquet is missing" in done.stdout


def test_a_killed_audit_resumes_and_ends_in_the_same_bytes(workspace: Workspace) -> None:
    """By SIGKILL between two parts; what was heard before is not heard again."""
    audit(workspace)
    command = [sys.executable, "-c", SLOW, "vn", "full/p100"]
    output = workspace.root / "data/heard/vn/full/p100.parquet"
    workspace.run(*command, "0")
    whole = output.read_bytes()
    output.unlink()

    process = subprocess.Popen(
        [*command, "0.5"], cwd=workspace.root, env=os.environ | {"PYTHONPATH": "src"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    scratch = workspace.root / ".scratch/manual"
    deadline = time.monotonic() + PATIENCE_S
    while len(list(scratch.glob("*/part-*.parquet"))) < 3:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "no part was written"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    done = {path.name: path.read_bytes() for path in scratch.glob("*/part-*.parquet")}
    again = workspace.run(*command, "0").stdout
    assert re.search(rf"resuming: {len(done)} of \d+ parts are there", again)
    assert output.read_bytes() == whole
    assert not list(scratch.iterdir())


def test_an_utterance_that_cannot_be_read_is_flagged(workspace: Workspace) -> None:
    """It does not end hours of work; it has no text, and no speech."""
    audit(workspace, models=1)

    def by_value(values: Any) -> None:
        values["audit"]["corpora"]["vn"]["thresholds"]["disagrees"] = {"value": 0.5}

    workspace.edit(by_value)
    file = workspace.root / "data/split/train.parquet"
    rows = utterances.read(file)
    row = rows.index[rows["corpus"] == "vn"][0]
    shard = workspace.root / "data/raw" / rows.loc[row, "shard"]
    data = bytearray(shard.read_bytes())
    start = int(rows.loc[row, "offset"])
    data[start : start + int(rows.loc[row, "size"])] = bytes(int(rows.loc[row, "size"]))
    _replace(shard, bytes(data))
    said = workspace.stage("hear", "vn", AUDIT["checkpoints"][0])
    assert f"utterance {rows.loc[row, 'id']}" in said
    workspace.stage("audit", "vn")
    own = found(workspace).set_index("id").loc[rows.loc[row, "id"]]
    assert list(own["hypotheses"]) == [""]
    assert set(own["flags"]) == {"disagrees", "not_speech"}


def _replace(file: Path, data: bytes) -> None:
    """Not in place: it may be a link into DVC's cache."""
    file.unlink()
    file.write_bytes(data)
