"""Decisions about labels through DVC: what runs again, what moves and what does not."""

from pathlib import Path

import pandas as pd

from galgame_asr.core.paths import SETS
from galgame_asr.manifests.corrections import Correction, append, now, path_of
from tests.pipeline.conftest import Workspace


def sets(workspace: Workspace) -> pd.DataFrame:
    """Corpus, text and set of each utterance."""
    parts = [
        pd.read_parquet(workspace.root / f"data/split/{name}.parquet").assign(set=name)
        for name in (*SETS, "left_out")
    ]
    return pd.concat(parts).set_index("id").sort_index()


def decide(workspace: Workspace, corpus: str, id_: str, text: str = "") -> None:
    """Add a decision: a text, or to drop."""
    path = path_of(corpus, Path(workspace.root, "corrections"))
    append(path, Correction(id_, "text" if text else "drop", "", text, "葉", now()))


def test_a_decision_reruns_its_corpus_alone_and_moves_nothing(workspace: Workspace) -> None:
    """The test row still tests, by its new text; the dropped one is left out."""
    before = sets(workspace)
    own = before[before["corpus"] == "vn"]
    tested, trained = (own.index[own["set"] == name][0] for name in ("test", "train"))
    decide(workspace, "vn", tested, "だれもいわないことば。")
    decide(workspace, "vn", trained)
    ran = workspace.repro("split", "mix")
    assert [name for name in ran if name.startswith("manifest")] == ["manifest@vn"]
    assert {"corrections@vn", "corrections@reading", "split"} <= set(ran)
    assert not [name for name in ran if name.startswith("fetch")]

    after = sets(workspace)
    assert after["text"][tested] == "だれもいわないことば。"
    wanted = before.copy()
    wanted.loc[tested, "text"] = after["text"][tested]
    wanted.loc[trained, "set"] = "left_out"
    assert after[["text", "set"]].equals(wanted[["text", "set"]])
    assert after["flags"].map(list)[[tested, trained]].tolist() == [["corrected"], ["dropped"]]
    said = workspace.run("galgame-asr", "corrections", "--check").stdout
    assert "Every decision is about an utterance" in said

    path_of("vn", Path(workspace.root, "corrections")).unlink()
    workspace.repro("split")
    assert sets(workspace)[["text", "set"]].equals(before[["text", "set"]])
    committed = workspace.run("git", "diff", "--stat", "metrics/quality", "metrics/split.json")
    assert committed.stdout == ""


def test_an_unknown_id_stops_before_anything_is_lost(workspace: Workspace) -> None:
    """The message names the line; the manifest is made again once the line is right."""
    before = sets(workspace)
    decide(workspace, "reading", "nobody")
    done = workspace.run("dvc", "repro", "split", check=False)
    assert done.returncode != 0
    assert "corrections/reading.tsv:2: id 'nobody' is none of the corpus" in done.stdout
    path_of("reading", Path(workspace.root, "corrections")).unlink()
    workspace.repro("split")
    assert sets(workspace).drop(columns="flags").equals(before.drop(columns="flags"))
