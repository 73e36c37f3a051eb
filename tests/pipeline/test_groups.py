"""Groups through DVC: a list makes split and score run again, and what it names can be held out."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from tests.pipeline.conftest import Workspace


def game(id_: str) -> str:
    """Eight games, by the first digit of an id."""
    return f"game_{int(id_[0], 16) // 2}"


def sets(workspace: Workspace) -> pd.DataFrame:
    """The rows of all sets of the corpus vn, with their game."""
    folder = workspace.root / "data/split"
    parts = [
        pd.read_parquet(folder / f"{name}.parquet").assign(set=name)
        for name in ("train", "dev", "test", "ood", "left_out")
    ]
    rows = pd.concat(parts, ignore_index=True)
    return rows[rows["corpus"] == "vn"].assign(game=lambda own: own["id"].map(game))


def test_a_list_of_groups_is_seen_by_dvc_and_held_out(workspace: Workspace) -> None:
    """Rows and a mean in the report; then none of a game's lines is in train or dev.

    The results are handed on and read back by the commands.
    """
    workspace.run("galgame-asr", "report", "--export", "before.json")
    before = sets(workspace)
    summaries = workspace.root / "metrics/variants"
    plain = json.loads((summaries / "base-none.json").read_text())
    lines = "".join(f"{id_}\t{game(id_)}\n" for id_ in before["id"])
    Path(workspace.root, "groups/vn.tsv").write_text(f"id\tgroup\n{lines}")

    ran = workspace.repro("--single-item", "split", "score", "report")
    assert ran == ["split", "score", "report"]
    assert sets(workspace).equals(before)
    summary = json.loads((summaries / "base-none.json").read_text())
    tested = set(before["game"][before["set"] == "test"])
    assert set(summary["test"]["by_group"]) == tested
    assert summary["test"]["macro"]["groups"] == len(tested)
    assert "macro" not in summary["ood"]  # the corpus reading has no list
    # What was said of the whole set is as it was.
    assert {name: summary["test"][name] for name in plain["test"]} == plain["test"]
    text = (workspace.root / "metrics/report.md").read_text()
    assert text.count("| **macro average** |") == 4

    said = workspace.run("galgame-asr", "report", "--compare", "before.json").stdout.splitlines()
    number = len(before[before["set"] == "test"])
    assert f"In domain (test): {number} of {number} utterances in common" in said
    assert "4 of 4 variants are in before.json too" in said[0]

    out = before["game"][before["set"] == "train"].iloc[0]

    def hold_out(values: dict[str, Any]) -> None:
        values["split"] |= {"hold_out": [out], "on_leak": "drop"}

    workspace.edit(hold_out)
    assert workspace.repro("--single-item", "split") == ["split"]
    after = sets(workspace)
    assert set(after["set"][after["game"] == out]) == {"test"}
    assert {*after["set"][after["game"] != out]} >= {"train", "dev", "test"}
    counts = json.loads((workspace.root / "metrics/split.json").read_text())
    assert counts["test"]["vn"]["utterances"] == (after["set"] == "test").sum()
