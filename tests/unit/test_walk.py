"""The walk through README.md and docs/: what it runs, in which order, and how it ends."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.walk import LEFT_OUT, LONG, STAND_INS, Terminal, Walk

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

- [More](docs/more.md): and not [this](docs/other.md)
"""
MORE = """# More

```bash
cat params.yaml >> told
git stash
```

`git status` was named before.

## Second

`git log --oneline`
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
    (clone / "docs").mkdir(parents=True)
    texts = {"README.md": README, "docs/more.md": MORE, "docs/other.md": MORE}
    for name, text in (texts | {"Makefile": MAKEFILE, "params.yaml": PARAMS}).items():
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
    left_out = {"README.md: git rebase": "no upstream", "docs/more.md: git stash": "nothing is"}
    after = {"make all WHAT=thing": lambda: _add(clone / "told", "after\n")}
    yield Walk(clone, terminal, {"/data/": "/tmp/"}, left_out, after)
    terminal.close()


def _add(file: Path, text: str) -> None:
    with file.open("a") as stream:
        stream.write(text)


def test_blocks_and_sentences_come_in_their_order(walk: Walk) -> None:
    """All lines of blocks; of sentences, what no block has, once.

    Pages come as the README lists them, then the other targets.
    """
    assert [(step.place, step.text) for step in walk.route()] == [
        ("README.md:8", "make all WHAT=thing"),
        ("README.md:9", "export WORD=heard"),
        ("README.md:11", "git rebase"),
        ("README.md:14", "git status"),
        ("README.md:18", "grep -A 9 base params.yaml >> told"),
        ("README.md:19", "echo $WORD >> told"),
        ("README.md:29", "cat params.yaml >> told"),
        ("README.md:30", "cat missing"),
        ("README.md:31", "echo never >> told"),
        ("docs/more.md:4", "cat params.yaml >> told"),
        ("docs/more.md:5", "git stash"),
        ("docs/more.md:12", "git log --oneline"),
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
    assert (clone / "told").read_text().endswith(f"never\n{PARAMS}help\n")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("11 commands ran in 0 minutes. 2 were left out: git rebase (no up")


def test_pages_can_be_walked_alone(
    walk: Walk, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the call names, and nothing before it but what sets up."""
    walk.only = ("docs/more.md",)
    walk.go()
    assert (clone / "told").read_text() == PARAMS
    assert "2 commands ran" in capsys.readouterr().out
    walk.only = ("docs/none.md",)
    with pytest.raises(SystemExit, match=r"docs/none.md"):
        walk.go()


def test_a_section_leaves_nothing_behind(walk: Walk, clone: Path) -> None:
    """A file that git would see ends the walk: what stands there may change later commands."""
    (clone / "stray").touch()
    with pytest.raises(SystemExit, match="left behind:\nstray"):
        walk.go()


def test_a_table_names_only_what_there_is(walk: Walk) -> None:
    """An entry that the pages have outlived is an error before anything runs."""
    walk.left_out["README.md: git pull"] = "it is gone"
    walk.stand_ins["my-name"] = "t"
    with pytest.raises(SystemExit, match=r"README.md: git pull, my-name"):
        walk.go()


def test_the_tables_fit_the_pages(walk: Walk) -> None:
    """Those of this repository, at every commit."""
    here = Walk(REPOSITORY, walk.terminal, STAND_INS, LEFT_OUT | LONG)
    assert len(here.route()) > 50


@pytest.mark.parametrize(
    ("command", "status"), [("echo 'open", 2), ("cat", 0), ("kill -9 $$", -9), ("exit 3", 3)]
)
def test_no_command_stops_the_session_for_good(walk: Walk, command: str, status: int) -> None:
    """An open quote, one that reads what is typed, and one that ends the shell."""
    assert walk.terminal.run(command)[0] == status
