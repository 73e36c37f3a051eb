"""A run that other tools prepared is taken over by params alone, and its figures go on."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from galgame_asr.decoding import transcripts
from galgame_asr.scoring import compute_wer
from tests import recordings
from tests.pipeline.conftest import Workspace, executed

NUM_TESTED = 12


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Wav files, lists as `scp2jsonl.py` of Fun-ASR takes them and gives them, and last as tests.

    The last text stands in the first line, too, as it can where a test set is cut off a list.
    """
    texts = recordings.lines()[:40]
    texts[0] = texts[-1]
    scp, text, chats = [], [], []
    for number, sentence in enumerate(texts):
        id_ = f"{number:064x}"
        recordings.write(tmp_path / f"{id_}.wav", recordings.speak(sentence, number % 4))
        scp.append(f"{id_} {tmp_path}/{id_}.wav\n")
        text.append(f"{id_} {sentence}\n")
        spoken = f"语音转写：<|startofspeech|>!{tmp_path}/{id_}.wav<|endofspeech|>"
        roles = {"system": "You are helpful.", "user": spoken, "assistant": sentence}
        messages = [{"role": role, "content": content} for role, content in roles.items()]
        chats.append(json.dumps({"key": id_, "messages": messages}, ensure_ascii=False) + "\n")
    (tmp_path / "all_wav.scp").write_text("".join(scp))
    (tmp_path / "all_text.txt").write_text("".join(text))
    (tmp_path / "all.jsonl").write_text("".join(chats))
    (tmp_path / "tail.txt").write_text("".join(text[-NUM_TESTED:]))
    return tmp_path


def take_in(values: dict[str, Any], old: Path, where: dict[str, Any]) -> None:
    """Params by which the old utterances are a corpus, and its tail the test set."""
    values["corpora"]["seed"] = {
        "kind": "folder",
        "test_ids": str(old / "tail.txt"),
        "copy": False,
        "shard_size": 20,
    } | where
    values["split"]["out_of_domain"] = ["reading", "vn"]
    values["split"]["exceptions"] = {"seed": {"dev": 0.1, "test": 0.0}}


def read_sets(workspace: Workspace) -> dict[str, set[str]]:
    """Ids of the old utterances, by set."""
    tables = {
        name: pd.read_parquet(workspace.root / f"data/split/{name}.parquet")
        for name in ("train", "dev", "test", "left_out")
    }
    return {name: set(table.query("corpus == 'seed'")["id"]) for name, table in tables.items()}


def expect_sets(sets: dict[str, set[str]], tested: dict[str, str]) -> None:
    """The test set is the old one to the row, and nothing is lost beside the leak."""
    assert sets["test"] == set(tested)
    assert sets["left_out"] == {f"{0:064x}"}
    assert len(sets["train"]) + len(sets["dev"]) == 40 - NUM_TESTED - 1


def test_a_run_that_the_seeds_tools_prepared(workspace: Workspace, old: Path) -> None:
    """Trained on the rest and decoded; compute-wer prints the figures of exactly the old rows."""

    def take_over(values: dict[str, Any]) -> None:
        kaldi = {"wav_scp": "all_wav.scp", "text": "all_text.txt"}
        take_in(values, old, {"path": str(old), "kaldi": kaldi})
        phase = values["train"]["phases"]["full"] | {"init": "full/p100", "mix": {"seed": 1.0}}
        values["train"]["phases"]["taken"] = phase | {"checkpoints": [100], "epochs": 1}
        values["decode"]["checkpoints"] = ["full/p100", "taken/p100"]

    workspace.edit(take_over)
    refused = workspace.run("dvc", "repro", "split", check=False)
    assert refused.returncode != 0
    first, last = f"{0:064x}", f"{39:064x}"
    assert f"seed {first} in train and seed {last} in test: same text" in refused.stdout
    workspace.edit(lambda values: values["split"].update(on_leak="drop"))
    ran = executed(workspace.run("dvc", "repro", "decode@taken/p100-japanese").stdout)
    assert [stage for stage in ran if stage.startswith(("train", "decode"))] == [
        "train@taken", "decode@taken/p100-japanese",
    ]  # fmt: skip

    tested = dict(line.split() for line in (old / "tail.txt").read_text().splitlines())
    expect_sets(read_sets(workspace), tested)

    decoded = "data/decoded/taken/p100-japanese.jsonl"
    printed = workspace.run(
        "galgame-asr", "compute-wer", str(old / "tail.txt"), decoded, "--corpus", "seed"
    ).stdout
    rows = transcripts.read(workspace.root / decoded)["test"]
    pairs = [(text, rows[f"seed/{id_}"].text) for id_, text in sorted(tested.items())]
    assert printed.strip() == str(compute_wer.count(pairs))
    assert f"N={NUM_TESTED} " in printed
    # The audio is still in its own file: another one there is no utterance of this corpus.
    raw = b"".join(file.read_bytes() for file in (workspace.root / "data/raw/seed").iterdir())
    assert str(old).encode() not in raw
    spoken = old / f"{last}.wav"
    spoken.write_bytes((old / f"{first}.wav").read_bytes())
    message = workspace.stage("decode", "full/p100", "none", "data/x.jsonl", check=False)
    assert f"utterance {last}: {spoken} has changed since corpus seed was taken in" in message

    # A row that the pipeline had left out would be named, not passed over.
    (old / "more.txt").write_text((old / "tail.txt").read_text() + f"{first} {tested[last]}\n")
    refused = workspace.run(
        "galgame-asr", "compute-wer", str(old / "more.txt"), decoded, "--corpus", "seed",
        check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert f"1 ids of {old}/more.txt are not in {decoded}: '{first}'" in refused.stdout


def test_a_list_of_messages_and_old_hypotheses(workspace: Workspace, old: Path) -> None:
    """The list that FunASR's trainer had gives the same sets; old figures are of the same rows."""

    def take_over(values: dict[str, Any]) -> None:
        take_in(values, old, {"path": str(old / "all.jsonl")})
        values["split"]["on_leak"] = "drop"
        values["decode"]["checkpoints"] = ["full/p100"]

    workspace.edit(take_over)
    ran = executed(workspace.run("dvc", "repro", "decode@full/p100-japanese").stdout)
    assert [stage for stage in ran if stage.startswith(("train", "decode"))] == [
        "decode@full/p100-japanese"
    ]
    tested = dict(line.split() for line in (old / "tail.txt").read_text().splitlines())
    expect_sets(read_sets(workspace), tested)

    # What the old model said, as the shell notes wrote it, and what the new one says.
    (old / "said.txt").write_text("".join(f"{id_} {text[:-1]}\n" for id_, text in tested.items()))
    decoded = "data/decoded/full/p100-japanese.jsonl"
    found = [
        workspace.run("galgame-asr", "compute-wer", str(old / "tail.txt"), *hypotheses).stdout
        for hypotheses in ([str(old / "said.txt")], [decoded, "--corpus", "seed"])
    ]
    counts = [
        {line.split(" -> ")[0]: re.findall(r" N=(\d+) ", line) for line in printed.splitlines()}
        for printed in found
    ]
    assert counts[0] == counts[1]
    assert counts[0]["SER"] == [str(NUM_TESTED)]
    assert found[0].splitlines()[0].endswith(f"Sub=0 Del={NUM_TESTED} Ins=0")
