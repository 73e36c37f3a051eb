"""Where an export comes from, as git and DVC know it."""

from dataclasses import dataclass
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import SCMError

from galgame_asr.core.params import read_yaml
from galgame_asr.experiment.revision import state_of
from galgame_asr.messages.errors import ExportError


@dataclass(frozen=True)
class Provenance:
    """The state of the repository that an export was made in."""

    commit: str | None  # None: no git repository
    # Nothing that git tracks differs from the commit.
    clean: bool
    # DVC's hashes of the content of the checkpoint, and of the export.
    checkpoint: str
    export: str


def of_export(name: str, checkpoint: Path, export: Path) -> Provenance:
    """Read the lock of an export that is verified as it stands.

    Raises:
        ExportError: it was not verified, or something has changed since.
    """
    stages = [f"export@{name}", f"verify@{name}"]
    lock_file = Path("dvc.lock")
    lock = read_yaml(lock_file)["stages"] if lock_file.is_file() else {}
    advice = f"`dvc repro verify@{name}` brings it up to date"
    if missing := [stage for stage in stages if stage not in lock]:
        raise ExportError(f"stage {missing[0]} has not run here; {advice}")
    try:
        with Repo(".") as repo:
            changed = repo.status(targets=stages)
            state = state_of(repo.scm)
    except (DvcException, SCMError) as error:
        raise ExportError(f"DVC cannot tell the state of verify@{name}: {error}") from error
    if changed:
        raise ExportError(f"{_described(changed)}; {advice}")
    made = lock[f"export@{name}"]
    hashes = _hash(made["deps"], checkpoint), _hash(made["outs"], export)
    return Provenance(state.commit, state.clean, *hashes)


def _described(changed: dict[str, list[object]]) -> str:
    """The stages of a status, with what changed."""
    paths = [
        path
        for problems in changed.values()
        for problem in problems
        if isinstance(problem, dict)
        for kind in problem.values()
        if isinstance(kind, dict)
        for path in kind
    ]
    shown = ", ".join(sorted(set(map(str, paths)))[:5])
    return f"stage {', '.join(changed)} is out of date" + (f" ({shown})" if shown else "")


def _hash(entries: list[dict[str, str]], path: Path) -> str:
    """The hash of a path in a stage's lock."""
    return next(e["md5"] for e in entries if e["path"] == path.as_posix())
