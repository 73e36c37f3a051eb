"""Is the committed run what the committed code makes here? python -m tests.same.

Runs the default from nothing in a temporary clone of HEAD and compares the hash of every
output with dvc.lock. Where bits are this machine's own, error rates are compared instead.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from galgame_asr.core.paths import MACHINE, METRICS, TEST_SETS

Lock = Mapping[str, Any]  # the stages of dvc.lock, by name


def main() -> None:
    """Run the default, print what differs, and exit with 1 if anything does."""
    if changed := _output("git", "status", "--porcelain", "--untracked-files=no"):
        print(f"HEAD is run, without {len(changed.splitlines())} files that are not committed")
    with TemporaryDirectory() as temporary:
        clone = Path(temporary) / "galgame-asr"
        subprocess.run(["git", "clone", "--quiet", ".", clone], check=True)
        committed = read_lock(clone / "dvc.lock")
        ended_well = _repro(clone)
        here = json.loads((clone / MACHINE).read_text()) if (clone / MACHINE).exists() else {}
        if here.get("own_bits") and ended_well:
            print(f"bits are this machine's own ({here['own_bits']}): comparing intervals")
            problems = outside(Path(), clone)
        else:
            problems = [str(one) for one in differences(committed, read_lock(clone / "dvc.lock"))]
        before = json.loads(_output("git", "show", f"HEAD:{METRICS / MACHINE.name}"))
    for problem in problems:
        print(f"differs: {problem}")
    print(f"here: {_machine(here)}; the committed run: {_machine(before)}")
    if problems or not ended_well:
        sys.exit(1)
    print(f"same: {len(committed)} stages give what is committed")


@dataclass(frozen=True)
class Difference:
    """A stage that made something else of the same input."""

    stage: str
    outputs: tuple[str, ...]

    def __str__(self) -> str:
        """One line."""
        return f"stage {self.stage}: {', '.join(self.outputs)}"


def differences(committed: Lock, made: Lock) -> list[Difference]:
    """The stages at which two runs part: their outputs differ, and none of their inputs does."""
    before, after = _hashes(committed), _hashes(made)
    paths = {path for path in before | after if before.get(path) != after.get(path)}
    stages = {**committed, **made}
    found = []
    for name, stage in stages.items():
        own = [out["path"] for out in stage.get("outs", []) if out["path"] in paths]
        inputs = [dep["path"] for dep in stage.get("deps", [])]
        if own and not any(_overlap(path, dep) for path in paths for dep in inputs):
            found.append(Difference(name, tuple(own)))
    return found


def outside(committed: Path, made: Path) -> list[str]:
    """Variants and sets whose intervals of the CER in two repositories do not overlap."""
    found = []
    for file in sorted((made / METRICS / "variants").rglob("*.json")):
        name = file.relative_to(made)
        sides = [json.loads((root / name).read_text()) for root in (committed, made)]
        for set_ in TEST_SETS:
            (low, high), (other_low, other_high) = (
                (side[set_]["cer_low"], side[set_]["cer_high"]) for side in sides
            )
            if other_low > high or other_high < low:
                found.append(f"{name}, {set_}: CER {other_low}-{other_high}, was {low}-{high}")
    return found


def read_lock(path: Path) -> Lock:
    """The stages of a dvc.lock."""
    stages: Lock = YAML(typ="safe").load(path)["stages"]
    return stages


def _hashes(lock: Lock) -> dict[str, str]:
    return {out["path"]: out["md5"] for stage in lock.values() for out in stage.get("outs", [])}


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _repro(clone: Path) -> bool:
    """Run everything; a cache of earlier runs must not answer for the code."""
    bin_ = Path(sys.executable).parent
    command = [str(bin_ / "dvc"), "repro", "--force", "--no-run-cache"]
    path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=clone, env=os.environ | {"PATH": path}, check=False)
    return done.returncode == 0


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _machine(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items() if value) or "unknown"


if __name__ == "__main__":
    main()
