"""What DVC's status means for each stage, on a pipeline of four."""

from typing import Any

from galgame_asr.experiment.stale import Code, Param, Stage, Stale, Status, judge

STAGES = {
    "fetch": Stage("fetch", {"data/raw/vn": True}),
    "train": Stage("train", {"models/full": True, "metrics/log.tsv": False}, ("fetch",)),
    "decode": Stage("decode", {"data/decoded/full.jsonl": True}, ("train",)),
    "report": Stage("report", {"metrics/report.md": False}, ("decode",)),
}
LOCK: dict[str, dict[str, Any]] = {
    "fetch": {"cmd": "fetch"},
    "train": {
        "cmd": "train",
        "deps": [{"path": "data/raw/vn", "md5": "1"}, {"path": "src/training", "md5": "2"}],
        "params": {"params.yaml": {"train.full": {"lr": 1e-3, "freeze": {"llm": False}}}},
    },
    "decode": {"cmd": "decode"},
    "report": {"cmd": "report"},
}
PARAMS: dict[str, Any] = {"train": {"full": {"lr": 2e-3, "freeze": {"llm": False}, "seed": 0}}}
CODE = {"changed deps": {"src/training": "modified"}}


def told(status: Status, lock: dict[str, Any] = LOCK) -> list[Stale]:
    return judge(STAGES, status, lock, PARAMS, Code)


def test_nothing_changed() -> None:
    """Without a status there is nothing to tell."""
    assert told({}) == []


def test_code_alone_can_be_kept() -> None:
    """A stage with other code, by the lock's hash of it, and those that read its outputs."""
    assert told({"train": [CODE]}) == [
        Stale("train", "keep", code=(Code("src/training", "2"),)),
        Stale("decode", "keep"),
        Stale("report", "keep"),
    ]
    assert [one.follows for one in told({"train": [CODE]})] == [False, True, True]


def test_a_new_command_is_code() -> None:
    """It comes with dvc.yaml; the lock has the old one."""
    lock = LOCK | {"report": {"cmd": "report --all"}}
    assert told({"report": ["changed command"]}, lock) == [
        Stale("report", "keep", command=("report --all", "report"))
    ]


def test_changed_params_run() -> None:
    """Named to the value, new keys too; what comes after runs with it, whatever its reason."""
    status: Status = {
        "train": [{"changed deps": {"params.yaml": {"train.full": "modified"}}}, CODE],
        "report": [{"changed deps": {"src/report": "modified"}}],
    }
    assert told(status) == [
        Stale(
            "train",
            "run",
            params=(
                Param("train.full.lr", "0.001", "0.002"),
                Param("train.full.seed", "unset", "0"),
            ),
            code=(Code("src/training", "2"),),
        ),
        Stale("decode", "run"),
        Stale("report", "run", code=(Code("src/report", None),)),
    ]


def test_other_data_runs() -> None:
    """An input that differs from the lock's while its stage's outputs do not."""
    found = told({"train": [{"changed deps": {"data/raw/vn": "modified"}}, CODE]})
    assert found[0] == Stale(
        "train", "run", data=("data/raw/vn",), code=(Code("src/training", "2"),)
    )


def test_missing_outputs_are_brought_first() -> None:
    """Neither they nor what waits for them can be told from other data, so nothing is kept."""
    status = {
        "fetch": [{"changed outs": {"data/raw/vn": "not in cache"}}],
        "train": [
            {"changed deps": {"data/raw/vn": "deleted", "src/training": "modified"}},
            {"changed outs": {"metrics/log.tsv": "deleted"}},
        ],
    }
    assert told(status) == [
        Stale("fetch", "bring", pull=("data/raw/vn",)),
        Stale("train", "bring", checkout=("metrics/log.tsv",), code=(Code("src/training", "2"),)),
    ]


def test_a_folder_of_outputs_is_not_other_data() -> None:
    """A stage may read the folder that several outputs lie in, or a part of one."""
    missing = {"train": [{"changed outs": {"models/full": "deleted"}}]}
    for path in ("models", "models/full/p100"):
        status = missing | {"decode": [{"changed deps": {path: "deleted"}}]}
        assert [one.way for one in told(status)] == ["bring", "bring"]
    status = missing | {"decode": [{"changed deps": {"models/fuller": "deleted"}}]}
    assert [one.way for one in told(status)] == ["bring", "run", "run"]


def test_a_stage_that_never_ran() -> None:
    """It has no entry in the lock; what it lacks is no news."""
    lock = {name: entry for name, entry in LOCK.items() if name != "decode"}
    status = {
        "decode": [
            {"changed deps": {"models/full": "new", "params.yaml": {"prompts": "new"}}},
            {"changed outs": {"data/decoded/full.jsonl": "deleted"}},
            "changed command",
        ]
    }
    assert told(status, lock) == [Stale("decode", "run", ran=False), Stale("report", "run")]
