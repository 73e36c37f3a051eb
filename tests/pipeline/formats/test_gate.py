"""An export that fails its gate: the run goes on and says so; only publishing is refused."""

import json
from typing import Any

from tests.pipeline.conftest import Workspace
from tests.pipeline.test_faults import one_message


def test_a_failed_gate_is_reported_and_not_published(workspace: Workspace) -> None:
    """By the real stages under DVC; under another gate verify and report run, and it passes."""

    def gate(max_difference: float) -> None:
        verify = {
            "utterances": 4, "prompt": "japanese", "min_equal": 0.0, "max_cer_rise": 100.0,
            "max_difference": max_difference,
        }  # fmt: skip
        entry = {"format": "gguf", "checkpoint": "full/p100", "precision": "q8_0"}

        def change(values: dict[str, Any]) -> None:
            values["export"] = {"small": entry | {"verify": verify}}
            values["prompts"].pop("none", None)
            values["decode"]["checkpoints"] = ["base", "full/p100", "export/small"]

        workspace.edit(change)

    metrics = workspace.root / "metrics"
    gate(1e-6)  # which no eight bits keep
    assert set(workspace.repro()) == {
        "export@small", "verify@small", "decode@export/small-japanese", "score", "report",
    }  # fmt: skip
    problems = json.loads((metrics / "verify/small.json").read_text())["problems"]
    assert [one.partition(" differs by ")[0] for one in problems] == ["encoder.gguf", "llm.gguf"]
    report = (metrics / "report.md").read_text()
    assert f"Export small failed its gate: {'; '.join(problems)}." in report
    assert "| export/small | japanese |" in report
    assert 'class="decision failed">failed<' in (metrics / "report.html").read_text()
    assert workspace.repro() == []

    publish = ("galgame-asr", "publish", "small", "--repo", "me/model")
    done = workspace.run(*publish, check=False)
    assert done.returncode == 1
    message = one_message(done.stdout, "ExportError")
    assert "export small failed its gate, and is not published: encoder.gguf differs" in message
    assert "lower the gate if this will do; `dvc repro verify@small`" in message

    gate(0.1)
    assert workspace.repro() == ["verify@small", "report"]
    assert "failed" not in (metrics / "report.md").read_text()
    assert "Nothing was uploaded" in workspace.run(*publish).stdout
