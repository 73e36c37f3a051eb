"""Which stages DVC would run and why, and for which of them code alone is the reason.

DVC tells which dependencies differ from its lock. This adds the values, the files of code and
the way to go: what code alone made stale can be kept (`dvc commit --force`), by whoever knows
that the results do not change.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import SCMError

from galgame_asr.core.params import read_params, read_yaml
from galgame_asr.messages.errors import ConfigError

LOCK_FILE = Path("dvc.lock")
CODE = "src/"
UNSET = "unset"  # stands for a value that was not there, or no longer is

Way = Literal["keep", "bring", "run"]
Status = Mapping[str, list[Any]]  # what `dvc status --json` prints
Lock = Mapping[str, Mapping[str, Any]]  # the stages of dvc.lock


@dataclass(frozen=True)
class Stage:
    """A stage as dvc.yaml has it."""

    command: str
    outs: Mapping[str, bool]  # by path: kept by DVC, or else by git
    upstream: tuple[str, ...] = ()  # the stages whose outputs it reads


@dataclass(frozen=True)
class Param:
    """A value that a stage ran with and the one of params.yaml, as JSON."""

    key: str
    old: str
    new: str


@dataclass(frozen=True)
class Code:
    """A file or folder of code that is not the one a stage ran with."""

    path: str
    commit: str | None = None  # that wrote its hash into dvc.lock, if git has one
    files: tuple[str, ...] = ()  # that have changed since


@dataclass(frozen=True)
class Stale:
    """A stage that DVC would run, why, and the way to go.

    `run`: params or data changed, it never ran, or an earlier stage goes this way. `bring`: an
    output, its own or one it reads, is not here as dvc.lock has it. `keep`: only code changed,
    its own or that of an earlier stage.
    """

    name: str
    way: Way = "keep"
    ran: bool = True
    params: tuple[Param, ...] = ()
    data: tuple[str, ...] = ()  # inputs that are not what it ran with
    # Outputs that are not here as dvc.lock has them.
    pull: tuple[str, ...] = ()  # of those that DVC keeps
    checkout: tuple[str, ...] = ()  # of those that git keeps
    command: tuple[str, str] | None = None  # old and new
    code: tuple[Code, ...] = ()

    @property
    def follows(self) -> bool:
        """Whether an earlier stage is the only reason."""
        own = (self.params, self.data, self.pull, self.checkout, self.command, self.code)
        return self.ran and not any(own)


def find() -> list[Stale]:
    """The stages that `dvc repro` would run in this repository, in the order of dvc.yaml.

    Raises:
        ConfigError: as for `read_params`; DVC cannot tell, as where dvc.yaml and params.yaml
            disagree, or while another DVC runs.
    """
    params = read_params()
    lock = read_yaml(LOCK_FILE)["stages"] if LOCK_FILE.is_file() else {}
    try:
        with Repo(".") as repo:
            status = repo.status()
            graph = repo.index.graph
            stages = {
                stage.addressing: Stage(
                    stage.cmd,
                    {out.def_path: out.use_cache for out in stage.outs},
                    tuple(upstream.addressing for upstream in graph.successors(stage)),
                )
                for stage in repo.index.stages
            }
    except (DvcException, SCMError) as error:
        raise ConfigError(f"DVC cannot tell what is stale: {error}") from error
    return judge(stages, status, lock, params, since_lock)


def judge(
    stages: Mapping[str, Stage],
    status: Status,
    lock: Lock,
    params: Mapping[str, Any],
    code: Callable[[str, str | None], Code],
) -> list[Stale]:
    """What DVC's status means for each stage; `code` takes a path and the lock's hash of it."""
    found: dict[str, Stale] = {}
    order = TopologicalSorter({name: stage.upstream for name, stage in stages.items()})
    for name in order.static_order():
        before = {found[other].way for other in stages[name].upstream if other in found}
        if name not in status and not before & {"run", "keep"}:
            continue
        if name not in lock:
            found[name] = Stale(name, "run", ran=False)
            continue
        absent = _absent(name, stages, status)
        data, changed, waits = _inputs(name, stages, status)
        values = _differences(lock[name].get("params", {}), status.get(name, []), params)
        hashes = {entry["path"]: entry.get("md5") for entry in lock[name].get("deps", [])}
        new = "changed command" in status.get(name, [])
        found[name] = Stale(
            name,
            "run" if values or data or "run" in before else "bring" if absent or waits else "keep",
            params=tuple(values),
            data=tuple(data),
            pull=tuple(path for path, cached in absent.items() if cached),
            checkout=tuple(path for path, cached in absent.items() if not cached),
            command=(lock[name]["cmd"], stages[name].command) if new else None,
            code=tuple(code(path, hashes.get(path)) for path in changed),
        )
    return [found[name] for name in stages if name in found]


def _entries(problems: list[Any], kind: str) -> dict[str, Any]:
    """The changed dependencies or outputs of a stage's status, by path."""
    return {
        path: state
        for problem in problems
        if isinstance(problem, dict)
        for path, state in problem.get(kind, {}).items()
    }


def _absent(name: str, stages: Mapping[str, Stage], status: Status) -> dict[str, bool]:
    """The outputs of a stage that are not as dvc.lock has them: kept by DVC, or else by git."""
    changed = _entries(status.get(name, []), "changed outs")
    return {path: cached for path, cached in stages[name].outs.items() if path in changed}


def _inputs(
    name: str, stages: Mapping[str, Stage], status: Status
) -> tuple[list[str], list[str], bool]:
    """The data and the code of a stage that changed, and whether an input is still to come."""
    data, code, waits = [], [], False
    for path, state in _entries(status.get(name, []), "changed deps").items():
        if isinstance(state, dict):
            continue  # a file of params
        if path.startswith(CODE):
            code.append(path)
        elif any(
            _within(out, path) or _within(path, out)
            for other in stages[name].upstream
            for out in _absent(other, stages, status)
        ):
            waits = True  # until it is here, it tells nothing
        else:
            data.append(path)
    return data, code, waits


def _within(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _differences(
    files: Mapping[str, Mapping[str, Any]], problems: list[Any], params: Mapping[str, Any]
) -> list[Param]:
    """The values of a stage's params that are not those of its lock."""
    keys = [
        (file, key)
        for file, state in _entries(problems, "changed deps").items()
        if isinstance(state, dict)
        for key in state
    ]
    return [
        param
        for file, key in keys
        for param in _leaves(key, files.get(file, {}).get(key, UNSET), _value(params, key))
    ]


def _value(params: Any, key: str) -> Any:
    for name in key.split("."):
        if not isinstance(params, dict) or name not in params:
            return UNSET
        params = params[name]
    return params


def _leaves(key: str, old: Any, new: Any) -> Iterator[Param]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old | new:
            yield from _leaves(f"{key}.{name}", old.get(name, UNSET), new.get(name, UNSET))
        return
    yield Param(key, _shown(old), _shown(new))


def _shown(value: Any) -> str:
    return value if value is UNSET else json.dumps(value, ensure_ascii=False)


def since_lock(path: str, hash_: str | None) -> Code:
    """Which files changed since the commit that wrote a hash of their folder into dvc.lock.

    The first such commit: a later one may have taken the hash away again. Without git, or
    before the lock is committed, the folder alone.
    """
    if hash_ is None:  # a dependency that dvc.yaml did not name then
        return Code(path)
    # A merge may have a lock of its own, which git shows with -m alone.
    commits = _git("log", "-m", "--topo-order", "--format=%h", f"-S{hash_}", "--", str(LOCK_FILE))
    if not commits:
        return Code(path)
    changed = _git("diff", "--name-only", "--no-renames", "--relative", commits[-1], "--", path)
    untracked = _git("ls-files", "--others", "--exclude-standard", "--", path)
    return Code(path, commits[-1], tuple(sorted({*changed, *untracked})))


def _git(*arguments: str) -> list[str]:
    """The lines that git prints; none where it fails."""
    command = ["git", "-c", "core.quotePath=false", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []
