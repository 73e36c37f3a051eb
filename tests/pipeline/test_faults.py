"""Bad params and damaged files: one clear message, exit status 1, and repair works."""

import numpy as np
import pandas as pd
import soundfile as sf
import soxr
import torch

from galgame_asr.core.paths import SETS
from galgame_asr.shards import tar
from tests import recordings
from tests.conftest import list_shards, tone
from tests.pipeline.conftest import Workspace


def one_message(output: str, kind: str) -> str:
    """The error's message, which stands there once and without a traceback."""
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith(f"{kind}: ")]
    return line


def test_a_misspelt_freeze_flag(workspace: Workspace) -> None:
    """From the command line of DVC: the part is named with its nearest valid one."""
    done = workspace.run(
        "dvc", "exp", "run", "-S", "+train.phases.adaptor.freeze.encodr=true", "train@adaptor",
        check=False,
    )  # fmt: skip
    assert done.returncode != 0
    message = one_message(done.stdout, "ConfigError")
    assert "freeze names 'encodr', did you mean 'encoder'? parts: encoder, adaptor, llm" in message
    # And with the key refused by DVC itself when it is not marked as new.
    done = workspace.run(
        "dvc", "exp", "run", "-S", "train.phases.adaptor.freeze.encodr=true", check=False
    )
    assert done.returncode != 0
    assert "encodr" in done.stdout


def test_an_unknown_key(workspace: Workspace) -> None:
    """A key that no stage reads is refused by the stage whose section it stands in."""
    workspace.edit(lambda values: values["split"].update(tests=0.1))
    done = workspace.run("dvc", "repro", check=False)
    assert done.returncode != 0
    message = one_message(done.stdout, "ConfigError")
    assert "unknown key split.tests. Did you mean 'test'?" in message


def test_a_missing_shard(workspace: Workspace) -> None:
    """Every stage that needs it names it; DVC brings it back."""
    shard = workspace.root / "data/raw/vn/vn-000001.tar"
    shard.unlink()
    output = workspace.stage("manifest", "vn", check=False)
    assert "vn-000001.tar has no bytes instead of" in one_message(output, "DataError")
    output = workspace.stage("decode", "base", "none", "data/x.jsonl", check=False)
    message = one_message(output, "DataError")
    assert "vn-000001.tar is missing; `dvc checkout`" in message
    assert not (workspace.root / "data/x.jsonl").exists()
    workspace.repro("manifest@vn")
    assert shard.exists()
    workspace.stage("manifest", "vn")


def test_a_truncated_tar(workspace: Workspace) -> None:
    """Cut in the middle, with the list made to agree: the walker still sees it."""
    shard = workspace.root / "data/raw/vn/vn-000001.tar"
    data = shard.read_bytes()
    shard.unlink()  # it may be a link into DVC's cache
    shard.write_bytes(data[: len(data) // 2])
    list_shards(shard.parent)
    output = workspace.stage("manifest", "vn", check=False)
    message = one_message(output, "DataError")
    assert "shard data/raw/vn/vn-000001.tar is truncated: member" in message
    workspace.run("dvc", "checkout", "--force", "data/raw/vn")
    workspace.stage("manifest", "vn")


def test_an_empty_text(workspace: Workspace) -> None:
    """The utterance is named; taken for usable by params, it is excluded and counted."""
    directory = workspace.root / "data/raw/vn"
    tar.write(
        directory / "vn-000002.tar", [("f" * 32 + ".ogg", tone(0.5)), ("f" * 32 + ".txt", b" \n")]
    )
    list_shards(directory)
    output = workspace.stage("manifest", "vn", check=False)
    assert "1 of 61 utterances of vn have a flag" in one_message(output, "DataError")
    assert f"vn/vn-000002.tar {'f' * 32}: text_empty" in output
    workspace.edit(lambda values: values["manifest"]["severity"].update(text_empty="drop"))
    output = workspace.stage("manifest", "vn")
    assert "61 utterances, 60 usable" in output


def test_recordings_at_other_rates(workspace: Workspace) -> None:
    """A folder of one's own at 24 and 44.1 kHz comes through at the default severities."""
    folder = workspace.root / "recordings"
    folder.mkdir()
    for number, text in enumerate(recordings.lines()[:6]):
        samples = recordings.speak(text, number)
        rate_hz = (24_000, 44_100)[number % 2]
        stereo = np.stack([soxr.resample(samples, 16_000, rate_hz)] * 2, 1)
        sf.write(folder / f"{number}.wav", stereo, rate_hz)
        (folder / f"{number}.txt").write_text(f"{text}\r\n", encoding="utf-8-sig")
    entry = {"kind": "folder", "path": "recordings", "shard_size": 10}
    workspace.edit(lambda values: values["corpora"].update(mine=entry))
    workspace.stage("fetch", "mine")
    output = workspace.stage("manifest", "mine")
    assert "mine: 6 utterances, 6 usable" in output
    assert "sample_rate 6 (3 at 24000 Hz, 3 at 44100 Hz)" in output
    workspace.stage("split")
    sets = [pd.read_parquet(workspace.root / f"data/split/{name}.parquet") for name in SETS]
    rows = pd.concat(sets).query("corpus == 'mine'")
    assert len(rows) == 6
    assert set(rows["sample_rate_hz"]) == {24_000, 44_100}
    workspace.edit(
        lambda values: values["manifest"]["exceptions"].update(mine={"sample_rate": "fail"})
    )
    message = one_message(workspace.stage("manifest", "mine", check=False), "DataError")
    assert "6 of 6 utterances of mine have a flag that must not occur: sample_rate 6 (3" in message


def test_a_checkpoint_that_lacks_keys(workspace: Workspace) -> None:
    """The tensor is named instead of trained or decoded from random values."""
    file = workspace.root / "models/base/model.pt"
    checkpoint = torch.load(file, weights_only=True)
    del checkpoint["state_dict"]["audio_encoder.tp_norm.bias"]
    file.unlink()
    torch.save(checkpoint, file)
    for stage, *arguments in (("decode", "base", "none", "data/x.jsonl"), ("train", "adaptor")):
        output = workspace.stage(stage, *arguments, check=False)
        message = one_message(output, "CheckpointError")
        assert "models/base/model.pt does not fit" in message
        assert "1 missing: audio_encoder.tp_norm.bias" in message


def test_a_leak_between_the_sets(workspace: Workspace) -> None:
    """The same audio under another text and id stops the split, with both rows named."""
    directory = workspace.root / "data/raw/vn"
    shard = directory / "vn-000000.tar"
    data = shard.read_bytes()
    copies = []
    for member in tar.members(shard):
        content = data[member.offset : member.offset + member.size]
        name = f"copy-{member.name}"
        copies.append((name, content if name.endswith("ogg") else f"別の台詞{name}".encode()))
    tar.write(directory / "vn-000002.tar", copies)
    list_shards(directory)
    # The checks of one corpus find copies too; here they only count them.
    flags = ("too_fast", "duplicate_audio", "duplicate_text")
    workspace.edit(
        lambda values: values["manifest"]["severity"].update(dict.fromkeys(flags, "warn"))
    )
    workspace.stage("manifest", "vn")
    output = workspace.stage("split", check=False)
    assert "leaks between the sets" in one_message(output, "DataError")
    assert "same audio" in output
