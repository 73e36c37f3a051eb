"""After an update of the code: what is stale and why, and how to keep it, by real DVC and git."""

import shutil

from tests.pipeline.conftest import Workspace, executed

TRAINED = ["base", "train@adaptor", "train@full"]


def test_probe(workspace: Workspace) -> None:
    def say(title: str, *cmd: str) -> None:
        print("=====", title)
        print(workspace.run(*cmd, check=False).stdout)

    path = workspace.root / "src/galgame_asr/training/trainer.py"
    files = sorted(p.name for p in path.parent.glob("*.py"))
    print(files)
    path = path.parent / "mix.py"
    path.write_text(path.read_text() + "# edited\n")
    (path.parent / "neu.py").write_text('"""New."""\n')
    say("code", "galgame-asr", "stale")
    workspace.edit(lambda v: v["train"]["phases"]["full"].update(lr=0.0007))
    workspace.edit(lambda v: v["prompts"]["none"].update(hotwords=["葵"]))
    say("code+params", "galgame-asr", "stale")
    workspace.run("git", "checkout", "params.yaml")
    shutil.rmtree(workspace.root / "models/full")
    (workspace.root / "metrics/split.json").unlink()
    say("absent", "galgame-asr", "stale")
    say("pull", "dvc", "pull", "models/full")
    workspace.run("git", "checkout", "metrics/split.json")
    say("again", "galgame-asr", "stale")
    say("commit", "dvc", "commit", "--force", *TRAINED)
    say("again", "galgame-asr", "stale")
    say("diff", "git", "diff", "-U2", "dvc.lock")
    p = workspace.root / "src/galgame_asr/runtimes/load.py"
    p.write_text(p.read_text() + "# edited\n")
    say("decode", "galgame-asr", "stale")
    say("commit", "dvc", "commit", "--force", "decode@full/p100-none")
    say("decode", "galgame-asr", "stale")
    raise AssertionError


