"""What only a GPU can show, in parts of at most eight minutes, with the Python that is there.

Tests, planned against measured memory, and the benchmarks of training, decoding and loading, at
the true size with random weights. Data and a base are made for it; nothing is downloaded. Each
part is a process of its own: one that fails stops no other, and one that needs a package which
is not there is skipped. Results are added to logs/gpu.md, as a table for EXPERIMENTS.md.

    python -m benchmarks.gpu [--list] [--size true|tiny] [--device cuda|cpu] [PART ...]
"""

import argparse
import datetime
import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
LIMIT_S = 480
# Not the installed command, which may be of another Python.
GALGAME_ASR = ("-c", "from galgame_asr.cli import main; main()")
PHASES = ("adaptor", "encoder", "full")
# As a traceback, pytest and `python -m` say it.
MISSING = re.compile(
    r"^(?:(?:E +)?ModuleNotFoundError|\S*python\S*): No module named '?(\w+)", re.MULTILINE
)
HEAD = "| part | | s | figures |\n|---|---|---|---|\n"
HOURS = 5300  # of the galgame corpus
DECODE_FRAMES = "20000"  # of the profile `galgame`


@dataclass(frozen=True)
class Place:
    """Where parts run, and at which size."""

    folder: Path  # for what is made
    device: str  # cuda or cpu
    size: str  # true or tiny
    has_bf16: bool = False  # of the GPU

    @property
    def is_tiny(self) -> bool:
        """Whether it is the short form."""
        return self.size == "tiny"

    @property
    def precisions(self) -> list[str]:
        """What speed is measured in."""
        return ["float32", "bf16"] if self.has_bf16 else ["float32"]

    @property
    def autocast(self) -> str:
        """What `compute.precision: auto` becomes."""
        if self.device == "cpu":
            return "float32"
        return "bf16" if self.has_bf16 else "fp16"

    @property
    def small(self) -> Path:
        """The repository of `benchmarks.small`."""
        return self.folder / "small"


@dataclass(frozen=True)
class Command:
    """Arguments of Python, and the folder that it runs in."""

    words: Sequence[str]
    folder: Path


@dataclass(frozen=True)
class Part:
    """One row of the table."""

    what: str
    commands: Callable[[Place], list[Command]]
    figures: str  # a regular expression of the lines that the table keeps


def tests(selected: str) -> Callable[[Place], list[Command]]:
    """The tests of tests/gpu whose names a -k expression selects."""

    def commands(place: Place) -> list[Command]:
        words = ["-m", "pytest", "tests/gpu", "-q", "-k", selected, "--device", place.device]
        return [Command(words, ROOT)]

    return commands


def plan(phase: str) -> Callable[[Place], list[Command]]:
    """`galgame-asr plan --measure` of one phase, of the profile `galgame` at the true size."""
    words = [*GALGAME_ASR, "plan", "--measure", "--phase", phase]

    def commands(place: Place) -> list[Command]:
        precision = ["--precision", place.autocast]
        if place.is_tiny:
            return [*made(place), Command([*words, *precision], place.small)]
        real = place.folder / "real"
        if not real.exists():
            real.mkdir()
            shutil.copy(ROOT / "params.yaml", real)
            (real / "profiles").symlink_to(ROOT / "profiles")
        profile = Command([*GALGAME_ASR, "profile", "galgame"], real)
        return [profile, Command([*words, *precision, "--hours", str(HOURS)], real)]

    return commands


def train(phase: str) -> Callable[[Place], list[Command]]:
    """`benchmarks.train` of one phase."""

    def commands(place: Place) -> list[Command]:
        steps = "4" if place.is_tiny else "20"
        words = [
            "-m", "benchmarks.train", "--dims", place.size, "--phases", phase, "--steps", steps,
            "--precisions", *place.precisions,
        ]  # fmt: skip
        return [*made(place), Command(words, place.small)]

    return commands


def decode(place: Place) -> list[Command]:
    """`benchmarks.decode`, of the small base or of the true size."""
    words = ["-m", "benchmarks.decode", "--dims", place.size, "--model", "models/base"]
    # Of a model with random weights every text is as long as it may be.
    size = [] if place.is_tiny else ["--frames", DECODE_FRAMES, "--utterances", "40"]
    words = [*words, *size, "--precisions", *place.precisions]
    return [*made(place), Command(words, place.small)]


def loader(place: Place) -> list[Command]:
    """`benchmarks.loader`."""
    words = ["-m", "benchmarks.loader"]
    few = ["--codecs", "ogg", "--utterances", "24"] if place.is_tiny else []
    return [Command([*words, *few], ROOT)]


def made(place: Place) -> list[Command]:
    """What makes the small repository, before the first part that needs it."""
    if (place.small / "models" / "base").exists():
        return []
    count = "80" if place.is_tiny else "480"
    place.small.mkdir(exist_ok=True)
    return [Command(["-m", "benchmarks.small", str(place.small), place.device, count], ROOT)]


PARTS = {
    "tests": Part(
        "tests/gpu: the stages, losses and texts against those of a CPU", tests("not plan"),
        r"\d+ (?:passed|failed|skipped|error).*",
    ),
    "tests-plan": Part(
        "tests/gpu: peak memory as planned, within 15 %", tests("plan"),
        r"\d+ (?:passed|failed|skipped|error).*",
    ),
    **{
        f"plan-{phase}": Part(
            f"galgame-asr plan --measure --phase {phase}", plan(phase), r"\w+ on \w+: predicted.*"
        )
        for phase in PHASES
    },
    **{
        f"train-{phase}": Part(
            f"training of phase {phase} against FunASR's trainer", train(phase),
            r"\w+ +(?:float32|bf16), .*|  (?:ours|funasr|ratio) .*",
        )
        for phase in PHASES
    },
    "decode": Part(
        "decoding against AutoModel.generate", decode,
        r".* of audio, .*|.*x real time|ratio .*",
    ),
    "loader": Part(
        "reading, features and batches against FunASR and datasets", loader,
            r".* utterances; .*|.*\| .*",
    ),
}  # fmt: skip


def main() -> None:
    """Run the parts named, or all, and add a row for each to the table.

    Raises:
        SystemExit: there is no CUDA device, or a part failed.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="all in their order, if none")
    parser.add_argument("--list", action="store_true", help="name the parts and end")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=("true", "tiny"), default="true")
    parser.add_argument("--logs", type=Path, default=ROOT / "logs", help="folder of gpu.md")
    options = parser.parse_args()
    if unknown := sorted(set(options.parts) - PARTS.keys()):
        parser.error(f"no part {', '.join(unknown)}; parts: {', '.join(PARTS)}")
    if options.list:
        for name, part in PARTS.items():
            print(f"{name:14} {part.what}; at most {LIMIT_S} s")
        return
    if (options.device, options.size) == ("cpu", "true"):
        parser.error("--device cpu takes --size tiny alone")
    title, has_bf16 = look(options.device, options.size)
    with tempfile.TemporaryDirectory(prefix="gpu-") as temporary:
        place = Place(Path(temporary), options.device, options.size, has_bf16)
        failed = []
        for name in options.parts or PARTS:
            print(f"{name}: {PARTS[name].what}", flush=True)
            result = run(name, PARTS[name], place, options.logs / "gpu")
            add(options.logs / "gpu.md", title, result)
            print(result.row, flush=True)
            if result.failed:
                failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; {options.logs / 'gpu'} has what they said")


def look(device: str, size: str) -> tuple[str, bool]:
    """The heading of a table made here, and whether there is a GPU with bf16.

    Raises:
        SystemExit: it is to be a CUDA device and there is none.
    """
    import torch  # noqa: PLC0415  not needed to list the parts

    if device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            f"torch {torch.__version__} sees no CUDA device; --device cpu --size tiny tries the "
            "parts without one"
        )
    name = torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} CPU"
    git = ["git", "describe", "--always", "--dirty"]
    commit = ""
    if shutil.which("git"):
        commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    has_bf16 = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    today = datetime.datetime.now(datetime.UTC).date()
    return (
        f"## {today}: {name}, {size} size, torch {torch.__version__}, Python "
        f"{platform.python_version()}, {os.cpu_count()} CPUs, commit {commit.strip() or 'unknown'}",
        has_bf16,
    )


@dataclass(frozen=True)
class Result:
    """What became of a part."""

    name: str
    end: str  # ok, failed, timed out or skipped, with the reason
    seconds: float
    figures: Sequence[str]

    @property
    def failed(self) -> bool:
        """Whether it counts as an error."""
        return self.end.startswith(("failed", "timed out"))

    @property
    def row(self) -> str:
        """Its row of the table."""
        figures = "<br>".join(re.sub(" +", " ", line.strip()) for line in self.figures)
        return f"| {self.name} | {self.end} | {self.seconds:.0f} | {figures.replace('|', ';')} |"


def run(name: str, part: Part, place: Place, logs: Path, limit_s: float = LIMIT_S) -> Result:
    """Run a part within its limit; what it prints goes to PART.log in the folder `logs`."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    variables = environment() | {"PYTHONUNBUFFERED": "1"}
    if place.device == "cpu":
        variables["CUDA_VISIBLE_DEVICES"] = ""
    start, end = time.monotonic(), "ok"
    with log.open("w+", encoding="utf-8", errors="replace") as output:
        for command in part.commands(place):
            left_s = start + limit_s - time.monotonic()
            status = limited(
                [sys.executable, *command.words], command.folder, variables, output, left_s
            )
            if status != 0:
                end = "timed out" if status is None else f"failed with status {status}"
                break
        output.seek(0)
        said = output.read()
    figures = re.findall(f"^(?:{part.figures})$", said, re.MULTILINE)
    missing = [name for name in MISSING.findall(said) if importlib.util.find_spec(name) is None]
    if end.startswith("failed") and missing and not re.search(r"^\d+ failed", said, re.MULTILINE):
        end = f"skipped: no package {missing[-1]} here"
    if end == "ok" and not figures:
        end = "failed: it said no figures"
    return Result(name, end, time.monotonic() - start, figures)


def environment() -> dict[str, str]:
    """Variables with which this checkout is imported from any folder."""
    given = os.environ.get("PYTHONPATH", "")  # packages that lie in a folder of their own
    folders = [str(ROOT / "src"), str(ROOT), *filter(None, [given])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(folders)}


def limited(
    words: Sequence[str], folder: Path, variables: dict[str, str], output: IO[str], limit_s: float
) -> int | None:
    """Exit status of a command; None where it ran out of time, and was ended with its children."""
    with subprocess.Popen(
        words, cwd=folder, env=variables, stdout=output, stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            return process.wait(max(limit_s, 0))
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                return None
            raise


def add(table: Path, title: str, result: Result) -> None:
    """Add a row, below a heading of its own where the last one was of other things."""
    before = table.read_text(encoding="utf-8") if table.exists() else ""
    titles = re.findall(r"^## .*$", before, re.MULTILINE)
    with table.open("a", encoding="utf-8") as file:
        if titles[-1:] != [title]:
            file.write(("\n" if before else "") + f"{title}\n\n{HEAD}")
        file.write(f"{result.row}\n")


if __name__ == "__main__":
    main()
