"""The walk through the README: what it runs, in which order, and how it ends."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.walk import LEFT_OUT, STAND_INS, Terminal, Walk, place

README = """# tiny

`make all` begins a line of the block below, `make` is none, `git show NAME` is for a reader.

## First

```bash
make all WHAT=thing   # all of it
export WORD=heard

git rebase
```

`git
status` and `git status` are one, with `base: {kind: mine, path: /data/mine}`.

```bash
grep -A 9 base params.yaml >> told   # a section of that name
echo $WORD >> told
```

## Second

```
git push
```

```bash
cat params.yaml >> told
cat missing
echo never >> told
```
"""
MAKEFILE = """all: ## everything
\t@echo made $(WHAT) >> told
help: ## what there is
\t@echo help >> told
inner:
\t@echo never
"""
PARAMS = "base: # which\n  kind: tiny\n  layers: 2\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    clone = tmp_path / "clone"
    clone.mkdir()
    for name, text in (("README.md", README), ("Makefile", MAKEFILE), ("params.yaml", PARAMS)):
        (clone / name).write_text(text)
    (clone / ".gitignore").write_text("/told\n/missing\n/.venv\n")
    (clone / ".venv").symlink_to(Path(sys.prefix))
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for path in (".dvc/config", ".dvc/.gitignore"):
        (clone / path).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / path, clone / path)
    for words in (("init",), ("add", "."), (*who, "commit", "--message", "tiny")):
        subprocess.run(["git", *words], cwd=clone, check=True, stdout=subprocess.DEVNULL)
    return clone


@pytest.fixture
def walk(clone: Path) -> Iterator[Walk]:
    terminal = Terminal(clone, clone.with_name("log"), {"PATH": os.defpath})  # without .venv
    left_out = {"First: git rebase": "it has no upstream"}
    after = {"make all WHAT=thing": lambda: _add(clone / "told", "after\n")}
    yield Walk(clone, terminal, {"/data/": "/tmp/"}, left_out, after)
    terminal.close()


def _add(file: Path, text: str) -> None:
    with file.open("a") as stream:
        stream.write(text)


def test_blocks_and_sentences_come_in_their_order(walk: Walk) -> None:
    """All lines of blocks; of sentences, what no block has, once; then the other targets."""
    assert [(place(step), step.text) for step in walk.route()] == [
        ("README.md:8", "make all WHAT=thing"),
        ("README.md:9", "export WORD=heard"),
        ("README.md:11", "git rebase"),
        ("README.md:14", "git status"),
        ("README.md:18", "grep -A 9 base params.yaml >> told"),
        ("README.md:19", "echo $WORD >> told"),
        ("README.md:29", "cat params.yaml >> told"),
        ("README.md:30", "cat missing"),
        ("README.md:31", "echo never >> told"),
        ("Makefile:3", "make help"),
    ]


def test_a_failing_command_ends_it(
    walk: Walk, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its line, what it printed and status 1; all before it ran, in one session."""
    with pytest.raises(SystemExit) as ended:
        walk.go()
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "cat: missing: No such file" in printed
    assert printed.endswith("README.md:30: exit status 1 of cat missing\n")
    laid = "base: # which\n  kind: mine\n  path: /tmp/mine\n"
    assert (clone / "told").read_text() == f"made thing\nafter\n{laid}heard\n{PARAMS}"


def test_what_ran_is_counted(walk: Walk, clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what was left out has its reason."""
    (clone / "missing").touch()
    walk.go()
    assert (clone / "told").read_text().endswith("never\nhelp\n")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("9 commands ran in 0 minutes. 1 were left out: git rebase (it has no")


def test_a_section_leaves_nothing_behind(walk: Walk, clone: Path) -> None:
    """A file that git would see ends the walk: what stands there may change later commands."""
    (clone / "stray").touch()
    with pytest.raises(SystemExit, match="left behind:\nstray"):
        walk.go()


def test_a_table_names_only_what_there_is(walk: Walk) -> None:
    """An entry that the README has outlived is an error before anything runs."""
    walk.left_out["Second: git pull"] = "it is gone"
    walk.stand_ins["my-name"] = "t"
    with pytest.raises(SystemExit, match="Second: git pull, my-name"):
        walk.go()


def test_the_tables_fit_the_readme(walk: Walk) -> None:
    """Those of this repository, at every commit."""
    here = Walk(REPOSITORY, walk.terminal, STAND_INS, LEFT_OUT)
    assert len(here.route()) > 50


@pytest.mark.parametrize(
    ("command", "status"), [("echo 'open", 2), ("cat", 0), ("kill -9 $$", -9), ("exit 3", 3)]
)
def test_no_command_stops_the_session_for_good(walk: Walk, command: str, status: int) -> None:
    """An open quote, one that reads what is typed, and one that ends the shell."""
    assert walk.terminal.run(command)[0] == status
