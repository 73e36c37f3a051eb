"""The pipeline end to end under DVC: what reruns, what is compared, what is restored."""

import csv
import json
import shutil
from typing import Any

import torch
from dvc.repo import Repo

from tests.pipeline.conftest import Workspace, executed
from tests.unit.test_stages import EDITS

VARIANTS = ["base-none", "base-japanese", "full/p100-none", "full/p100-japanese"]


def test_a_run_ends_with_the_table(workspace: Workspace) -> None:
    """Every variant has a CER, in the flat metric and in the table, for both test sets."""
    metrics = workspace.root / "metrics"
    for file in ("cer.json", "cer_ood.json"):
        scores = json.loads((metrics / file).read_text())
        assert sorted(scores) == sorted(VARIANTS)
        assert all(cer >= 0 for cer in scores.values())
    report = (metrics / "report.md").read_text()
    assert "## In domain" in report
    assert "## Out of domain" in report
    assert report.count("| full/p100 |") == 4
    assert (metrics / "report.html").stat().st_size > 100_000
    quality = json.loads((metrics / "quality/vn.json").read_text())
    assert (quality["utterances"], quality["usable"]) == (60, 60)


def test_nothing_reruns_and_git_is_clean(workspace: Workspace) -> None:
    """A second run executes no stage, writes nothing, and leaves no unfinished work."""
    assert workspace.repro() == []
    assert workspace.run("git", "status", "--porcelain").stdout == ""
    assert workspace.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."
    assert not list((workspace.root / ".scratch").glob("*/*"))


def test_the_lock_alone_tells_that_all_is_up_to_date(workspace: Workspace) -> None:
    """As CI checks on a clone without data: lock, params and code agree."""
    shutil.rmtree(workspace.root / "data")
    shutil.rmtree(workspace.root / "models")
    dry = workspace.run("dvc", "repro", "--dry", "--allow-missing").stdout
    assert executed(dry) == []


def test_a_comment_in_a_room_reruns_what_the_table_says(workspace: Workspace) -> None:
    """By DVC's own account, for one room of each answer; for all, dvc.yaml says the same."""
    source = workspace.root / "src/galgame_asr"
    run = {name.partition("@")[0] for name in workspace.lock()}
    for edited in {frozenset(stages & run): edited for edited, stages in EDITS.items()}.values():
        path = source / edited
        modules = sorted(path.glob("[a-z]*.py"))
        file = path if path.is_file() else next(iter(modules), path / "__init__.py")
        before = file.read_bytes()
        file.write_bytes(before + b"# A comment.\n")
        with Repo(str(workspace.root)) as repo:
            # Named from the folder that the tests run in: FOLDER/dvc.yaml:STAGE@NAME.
            stale = {name.rpartition(":")[2].partition("@")[0] for name in repo.status()}
        file.write_bytes(before)
        # A room's first file may have a line of its own in the table.
        expected = EDITS.get(str(file.relative_to(source)), EDITS[edited])
        assert stale == expected & run, edited


def test_editing_one_prompt_reruns_only_its_decodes(workspace: Workspace) -> None:
    """The model, the other prompt's decodes and unchanged scores stay."""
    workspace.edit(lambda values: values["prompts"]["none"].update(hotwords=["葵"]))
    ran = workspace.repro()
    decodes = [stage for stage in ran if not stage.startswith(("score", "report"))]
    assert decodes == ["decode@base-none", "decode@full/p100-none"]
    assert not [stage for stage in ran if "japanese" in stage]


def test_a_renamed_phase_is_not_scored_by_its_old_name(workspace: Workspace) -> None:
    """What the old phase left in models/ must not stand in the new table."""

    def rename(values: dict[str, Any]) -> None:
        phases = values["train"]["phases"]
        phases["renamed"] = phases.pop("full")
        values["average"]["averaged"]["phase"] = "renamed"

    workspace.edit(rename)
    done = workspace.run("dvc", "repro", "report", check=False)
    assert done.returncode != 0
    known = "adaptor/p100, averaged, base, renamed/p100, renamed/p50"
    assert f"decode.checkpoints names full/p100; checkpoints: {known}" in done.stdout


def test_editing_unrelated_code_reruns_nothing(workspace: Workspace) -> None:
    """The README and the command line are no inputs of any stage."""
    for file in ("pyproject.toml", "src/galgame_asr/cli.py"):
        path = workspace.root / file
        path.write_text(path.read_text() + "\n# edited\n")
    assert workspace.repro() == []


def test_what_suits_the_machine_reruns_nothing(workspace: Workspace) -> None:
    """Every value of section `machine` has no influence on a result, so that none is a param."""
    other = {
        "save_minutes": 1, "workers": 2, "feature_cache_mb": 1, "encoder_cache_mb": 1,
        "tensorboard": True, "decode_batch_frames": 900,
    }  # fmt: skip
    workspace.edit(lambda values: values.update(machine=other))
    assert workspace.repro() == []


def test_what_was_trained_before_comes_back(workspace: Workspace) -> None:
    """A value is tried, another, and the first again, uncommitted: nothing trains a third time."""

    def full(lr: float) -> list[str]:
        workspace.edit(lambda values: values["train"]["phases"]["full"].update(lr=lr))
        return workspace.repro("train@full")

    assert full(0.005) == ["train@full"]
    trained = workspace.output_hash("train@full")
    assert full(0.006) == ["train@full"]
    assert full(0.005) == []
    assert workspace.output_hash("train@full") == trained


def test_a_phase_depends_on_its_own_rows(workspace: Workspace) -> None:
    """A corpus and a phase on it are added: what does not name the corpus is not trained again.

    The decodes run, since the test set grows by the new corpus's share.
    """

    def add(values: dict[str, Any]) -> None:
        values["corpora"]["own"] = values["corpora"]["vn"] | {"utterances": 40, "seed": 7}
        values["split"]["on_leak"] = "drop"  # the sentences of vn, from other mouths
        phases = values["train"]["phases"]
        mix = {"own": 1.0, "vn": 0.5}
        phases["mine"] = phases["full"] | {"init": "full/p100", "mix": mix, "checkpoints": [100]}
        values["decode"]["checkpoints"].append("mine/p100")
        del values["prompts"]["none"]

    workspace.edit(add)
    ran = workspace.repro()
    before_decodes = [stage for stage in ran if not stage.startswith(("decode", "score", "report"))]
    assert sorted(before_decodes) == [
        "corrections@own", "curves@mine", "fetch@own", "manifest@own", "mix@adaptor", "mix@full",
        "mix@mine", "mix_base@tiny", "split", "train@mine",
    ]  # fmt: skip
    decoded = {stage for stage in ran if stage.startswith("decode")}
    assert decoded == {
        f"decode@{checkpoint}-japanese" for checkpoint in ("base", "full/p100", "mine/p100")
    }
    trained = workspace.root / "metrics/training"
    assert {path.name for path in trained.iterdir()} == {"adaptor", "full", "mine"}


def test_an_experiment_reruns_its_phase_and_what_follows(workspace: Workspace) -> None:
    """-S on one phase's learning rate keeps data, base model and earlier checkpoints.

    And `dvc metrics diff` then has one row per variant that changed.
    """
    ran = executed(workspace.run("dvc", "exp", "run", "-S", "train.phases.adaptor.lr=1e-2").stdout)
    assert ran[:2] == ["train@adaptor", "train@full"]
    assert {stage for stage in ran[2:] if stage.startswith("decode@")} == {
        "decode@full/p100-none",
        "decode@full/p100-japanese",
    }
    assert not [
        stage
        for stage in ran
        if stage.startswith(("fetch", "manifest", "split", "mix", "base", "build"))
    ]
    changed = json.loads(workspace.run("dvc", "metrics", "diff", "--json").stdout)
    rows = changed.get("metrics/cer.json", {})
    assert set(rows) <= {"full/p100-none", "full/p100-japanese"}


def test_queued_experiments_appear_side_by_side(workspace: Workspace) -> None:
    """Two values from one command train in copies of the repository and are both shown."""
    workspace.run(
        "dvc", "exp", "run", "--queue", "--name", "sweep", "-S", "train.phases.full.lr=0.003,0.004"
    )
    workspace.run("dvc", "queue", "start", "--jobs", "2")
    for name in ("sweep-1", "sweep-2"):
        workspace.run("dvc", "queue", "logs", name, "--follow")
    rows = list(csv.DictReader(workspace.run("dvc", "exp", "show", "--csv").stdout.splitlines()))
    rates = {row["Experiment"]: row["train.phases.full.lr"] for row in rows}
    assert (rates["sweep-1"], rates["sweep-2"]) == ("0.003", "0.004")
    for row in rows:
        if row["Experiment"].startswith("sweep"):
            assert all(row[variant] for variant in VARIANTS)


def test_pull_brings_back_what_was_pushed(workspace: Workspace) -> None:
    """With the cache and all outputs gone, the remote restores every byte."""
    workspace.run("dvc", "push")
    for path in (".dvc/cache", "data", "models"):
        shutil.rmtree(workspace.root / path)
    workspace.run("dvc", "pull")
    assert workspace.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."
    workspace.run("dvc", "data", "status", "--granular")
    assert workspace.repro() == []


def test_a_run_can_start_from_a_checkpoint_of_funasrs_trainer(workspace: Workspace) -> None:
    """The directory gives the layout, another file the tensors."""
    root = workspace.root
    shutil.copytree(root / "models/base", root / "mine")
    shutil.copy(root / "models/full/p100/model.pt", root / "mine/model.pt.best")
    workspace.edit(
        lambda values: values.update(
            base={
                "existing": {"directory": {"path": "mine", "weights": "mine/model.pt.best"}},
                "built": {},
            }
        )
    )
    workspace.stage("base", "directory")
    first, second = (
        torch.load(root / f"models/{name}/model.pt", weights_only=True)["state_dict"]
        for name in ("base", "full/p100")
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not (root / "models/base/model.pt.best").exists()


def test_plots_show_scores_and_losses(workspace: Workspace) -> None:
    """`dvc plots show` renders the CER bars and the loss curves of the phases."""
    workspace.run("dvc", "plots", "show", "--out", "dvc_plots")
    page = (workspace.root / "dvc_plots/index.html").read_text()
    assert "base-japanese" in page
    assert all(f"metrics/training/{name}/log.tsv" in page for name in ("adaptor", "full"))
    assert page.count('"loss"') >= 2
