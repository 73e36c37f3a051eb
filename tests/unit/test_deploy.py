"""What can be known of deploy/ without a cluster and without Docker."""

import re
import shlex
import tomllib

from tests.conftest import REPOSITORY

DOCKERFILE = (REPOSITORY / "deploy/Dockerfile").read_text().replace("\\\n", " ")
SBATCH = (REPOSITORY / "deploy/slurm.sbatch").read_text()


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def pip_installs(text: str) -> list[list[str]]:
    """What is behind `pip install`, without options that only say how."""
    found = re.findall(r"pip install (.*)", text)
    return [[word for word in shlex.split(line) if word != "--no-cache-dir"] for line in found]


def test_the_image_holds_the_versions_of_constraints() -> None:
    """Every installation obeys the file, torch comes first, and extras are those of pyproject."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    first, second = pip_installs(DOCKERFILE)
    assert first == ["--constraint", "constraints.txt", "torch"]
    assert second[:-1] == ["--constraint", "constraints.txt", "--editable"]
    extras = set(re.findall(r"\w+", second[-1]))
    assert extras == set(project["optional-dependencies"]) - {"seed", "baseline-demo", "dev"}
    assert "==" not in DOCKERFILE, "a version of its own"


def test_the_image_is_built_of_files_that_are_there() -> None:
    """Each path that is copied is one of the repository."""
    copied = [word for line in instructions("COPY") for word in line.split()[:-1]]
    assert {"pyproject.toml", "constraints.txt", "src"} <= set(copied)
    for name in copied:
        assert (REPOSITORY / name).exists(), name


def test_the_container_is_nobodys_root() -> None:
    """The last user named is another, and what it writes lies in the volume."""
    assert not instructions("USER")[-1].startswith(("0", "root"))
    variables = dict(word.split("=", 1) for line in instructions("ENV") for word in line.split())
    assert instructions("VOLUME") == [variables["HOME"]]
    assert variables["HF_HOME"].startswith(variables["HOME"])


def test_slurm_reads_all_that_is_meant_for_it() -> None:
    """It reads no `#SBATCH` behind the first command. It must signal the shell, and requeue.

    The signal comes two minutes before the time is up, in which a state is saved.
    """
    head, _, commands = SBATCH.partition("\ncd ")
    assert "#SBATCH" not in commands
    assert all(line.startswith("#") or not line for line in head.splitlines())
    options = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", head, re.MULTILINE))
    assert options["signal"] == "B:TERM@120"
    assert {"requeue", "open-mode", "time"} <= options.keys()
    assert options["open-mode"] == "append", "the log of the run before stays"
