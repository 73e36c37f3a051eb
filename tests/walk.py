"""Run every command of README.md, docs/ and the Makefile once, as a reader would.

    python -m tests.walk [--quick] [PAGE ...]

In a new clone of HEAD, with a new HOME and one bash session, in the order in which a reader
meets them: README.md from top to bottom, the pages of docs/ in the order of its last list, then
the targets that none of them names. With PAGE (docs/scores.md), these pages alone, after what
sets up; with --quick, in the environment that is installed here (by `make test`, say), and without
commands of minutes whose work tests do too. What a command prints goes to logs/walk.log. The first
command that fails ends the walk with exit status 1, its place and the end of what it printed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

from galgame_asr.core import utterances
from galgame_asr.manifests.corrections import Correction, append, now
from tests import hub_uploads, s3
from tests.conftest import REPOSITORY
from tests.readme import PLACEHOLDER, Command, merge, pages, steps
from tests.recordings import lines, speak, stitch, write

QUICK = "--quick"
# What every page stands on.
SETS_UP = ("make repro", "source .venv/bin/activate")
# Commands that are not run, by page and text, and why.
LEFT_OUT = {
    "README.md: make test": "CI has run it",
    "README.md: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make repro": (
        "make repro with another index of packages"
    ),
    "docs/training.md: dvc exp run --queue -S 'train.common.seed=1,2'": "10 minutes",
    "docs/training.md: dvc queue start": "nothing is queued",
    "docs/training.md: dvc exp run -S '+train.phases.full.lora={rank: 16, alpha: 32}' "
    "-S train.phases.full.freeze.llm=true": "4 minutes, after another dvc exp run",
    "docs/training.md: pip install deepspeed": "needs a GPU's compiler",
    "docs/baselines.md: pip install -c constraints.txt -e '.[baseline-demo]'": "130 MB",
    "docs/baselines.md: galgame-asr profile baseline-demo": "needs those packages",
    "docs/baselines.md: dvc repro": "needs those packages",
    "docs/baselines.md: galgame-asr profile galgame baselines": "a run that needs a GPU",
    "docs/scores.md: dvc fetch --all-commits data/scored": "nothing was pushed yet",
    **{
        f"docs/audit.md: {command}": "minutes, after a profile that trains anew"
        for command in (
            "dvc repro curves@audited audit@vn",
            "python -m benchmarks.audit",
            "dvc repro",
            "galgame-asr audit vn --exclude --phase left_out",
        )
    },
    "docs/labels.md: galgame-asr label vn --queue errors": "waits for a browser",
    "docs/storage.md: dvc gc --workspace": "asks before it deletes",
    "docs/exports.md: python -m benchmarks.export_size sherpa int8": "9 GB of memory",
    "README.md: make same": "`make repro` before it has ended as it is committed; 10 minutes",
    "README.md: dvc repro": "downloads 100 GB, needs a GPU",
    "docs/rented-machines.md: make rehearsal PROFILE=galgame": "nearly two hours and 40 GB of disk",
    "docs/adding.md: make lint types": "CI has run it",
    "docs/rented-machines.md: make gpu": "needs a GPU; three parts on a CPU are a test",
    "Makefile: make check": "lint, types and test",
    "Makefile: make fuzz": "its beginning is a test; the whole takes long",
    "Makefile: make constraints": "what PyPI has today decides its result",
}
# And what CI leaves out as well, with what stands on it: minutes of what tests do too.
LONG = dict.fromkeys(
    [
        "docs/training.md: dvc exp run -S '+prompts.chinese={language: \"中文\"}'",
        "docs/own-recordings.md: dvc repro",
        "docs/own-recordings.md: cat metrics/report.md",
        "docs/own-recordings.md: git checkout . && dvc checkout",
        "docs/own-recordings.md: "
        "dvc exp run --name speeds -S '+train.phases.mine.augment={speeds: [0.9, 1.0, 1.1]}'",
        "docs/own-recordings.md: dvc exp run --name forgets -S train.phases.mine.lr=1e-3 "
        "-S '~train.phases.mine.mix.vn' -S '~train.phases.mine.mix.reading'",
        "docs/own-recordings.md: "
        "dvc metrics diff recordings forgets --targets metrics/cer_ood.json",
        "docs/own-recordings.md: dvc exp apply speeds",
        "docs/own-recordings.md: git commit --message 'Recordings at three speeds'",
        "docs/whisper.md: dvc repro",
        "docs/rented-machines.md: galgame-asr plan",
        "docs/rented-machines.md: galgame-asr plan --measure",
    ],
    "minutes; not with --quick",
)

# What stands in the pages for a reader's own things, and the things here that stand for them.
STAND_INS = {
    "/data/galgame/": "{folder}/galgame/",
    "/data/my-checkpoint": "{folder}/my-checkpoint",
    "/data/recordings": "{folder}/recordings",
    "/disk/": "{folder}/disk/",
    "scene.mp4": "{folder}/scene.mp4",
    # Of another person, who has the same results.
    "theirs.json": "logs/mine.json",
    "theirs.tsv": "{folder}/theirs.tsv",
    # Of a phase that still runs.
    ".scratch/train@full/9c1f4a5b6d7e8f90/p50": "models/full/p50",
    "REFERENCES HYPOTHESES": "{folder}/references.txt {folder}/hypotheses.txt",
    "https://s3.example.org": "{s3}",
    # An experiment that the commands before have made.
    "dvc exp push origin NAME": (
        "dvc exp push origin $(dvc exp list --all-commits --name-only | head -1)"
    ),
    # Its scores were perhaps never made on this machine.
    "HEAD~1": "HEAD",
}

# Variables that a reader's terminal does not have.
NOT_A_READERS = ("AWS_", "DVC_", "GIT_", "HF_", "MAKE", "MFLAGS", "PYTHON", "VIRTUAL_ENV", "XDG_")
# Also before the reader activates .venv. Results of exports and variants that are no more go too.
BACK = (
    "git checkout . && git clean --quiet --force -d corrections metrics && .venv/bin/dvc checkout"
)
LINES = 60  # of a failed command's output
MAKEFILE = "Makefile"


class Terminal:
    """One bash session, in which every command meets what the ones before left behind."""

    def __init__(self, folder: Path, log: Path, environment: dict[str, str]) -> None:
        """Start bash in a folder, with these variables alone; its output goes to the log."""
        self._log = log
        answers, self._told = os.pipe()
        self._answers = os.fdopen(answers)
        with log.open("w") as output:
            self._bash = subprocess.Popen(
                ["bash", "--noprofile", "--norc"], cwd=folder, env=environment, text=True,
                stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
                pass_fds=[self._told],
            )  # fmt: skip
        os.close(self._told)

    def run(self, command: str) -> tuple[int, str]:
        """Run one command; its exit status, and the end of what it printed."""
        start = self._log.stat().st_size
        assert self._bash.stdin is not None
        # By `eval`, so that a line with an open quote is an error and does not wait for the next.
        self._bash.stdin.write(f"eval {shlex.quote(command)} < /dev/null\necho $? >&{self._told}\n")
        self._bash.stdin.flush()
        answer = self._answers.readline()
        status = int(answer) if answer else self._bash.wait()
        with self._log.open(errors="replace") as log:
            log.seek(start)
            return status, "".join(log.readlines()[-LINES:])

    def close(self) -> None:
        """End the session."""
        self._bash.communicate()
        self._answers.close()


@dataclass
class Walk:
    """The walk through one repository."""

    clone: Path
    terminal: Terminal
    stand_ins: dict[str, str]
    left_out: dict[str, str]
    after: dict[str, Callable[[], None]] = field(default_factory=dict)  # a command
    only: tuple[str, ...] = ()  # these pages
    _laid: set[str] = field(default_factory=set)  # examples that params.yaml has

    def go(self) -> None:
        """Run all commands, and tell how many.

        Raises:
            SystemExit: a command failed, or a table names what is not there.
        """
        start, ran, skipped, section = time.monotonic(), 0, list[str](), ("", "")
        for command in self.route():
            if self.only and command.page not in self.only and command.text not in SETS_UP:
                continue
            if (command.page, command.section) != section:
                self._go_back()
                section = (command.page, command.section)
            if reason := self.left_out.get(command.key):
                skipped.append(f"{command.text} ({reason})")
                continue
            self._lay(command)
            self._run(command.text, command.place)
            self.after.get(command.text, lambda: None)()
            ran += 1
        minutes = (time.monotonic() - start) / 60
        print(f"{ran} commands ran in {minutes:.0f} minutes.", end=" ")
        print(f"{len(skipped)} were left out: {'; '.join(skipped)}")

    def route(self) -> list[Command]:
        """The commands in their order; one with a NAME that nothing stands for is none.

        Raises:
            SystemExit: a table, or the call, names what neither pages nor Makefile have.
        """
        texts = pages(self.clone)
        found = [
            command
            for command in steps(texts)
            if command.block or not PLACEHOLDER.search(self.stand_in(command.text))
        ]
        found += _targets((self.clone / MAKEFILE).read_text(), found)
        stale = self.left_out.keys() - {command.key for command in found}
        everything = " ".join(" ".join(texts.values()).split())
        stale |= {name for name in self.stand_ins if name not in everything}
        stale |= set(self.only) - {*texts, MAKEFILE}
        if stale:
            sys.exit(f"not in {', '.join(texts)} or {MAKEFILE}: {', '.join(sorted(stale))}")
        return found

    def stand_in(self, text: str) -> str:
        """A text of a page with things of this machine."""
        for name, value in self.stand_ins.items():
            text = text.replace(name, value)
        return text

    def _lay(self, command: Command) -> None:
        """Write into params.yaml the examples with a section or an entry that the command names."""
        words = set(re.split("[ @]", command.text))
        yaml = YAML()
        for example in command.examples:
            change = YAML(typ="safe").load(self.stand_in(example))
            names = {name for top, below in change.items() for name in (top, *below)}
            if names & words and example not in self._laid:
                values = yaml.load(self.clone / "params.yaml")
                merge(values, change)
                yaml.dump(values, self.clone / "params.yaml")
                self._laid.add(example)

    def _go_back(self) -> None:
        """Take back what a section left in files of git, as the pages say after some.

        Raises:
            SystemExit: it left new files that git sees. A folder like funasr/ would stand in for
                the package of that name.
        """
        self._laid.clear()
        if _git(self.clone, "status", "--porcelain"):
            self._run(BACK, "back")
        if left := _git(self.clone, "ls-files", "--others", "--exclude-standard"):
            sys.exit(f"the commands before left behind:\n{left}")

    def _run(self, command: str, where: str) -> None:
        print(f"{where:15} {command}", end="", flush=True)
        start = time.monotonic()
        status, output = self.terminal.run(self.stand_in(command))
        print(f"  {time.monotonic() - start:.1f} s", flush=True)
        if status:
            print(output)
            print(f"{where}: exit status {status} of {self.stand_in(command)}")
            sys.exit(1)


def _targets(makefile: str, before: list[Command]) -> list[Command]:
    """Documented targets that no command before made."""
    made = {word for command in before for word in re.findall(r"\bmake ([a-z-]+)", command.text)}
    return [
        Command(MAKEFILE, number, "", f"make {target[1]}", True, ())
        for number, line in enumerate(makefile.splitlines(), 1)
        if (target := re.match(r"([a-z-]+):.*## ", line)) and target[1] not in made
    ]


def _git(folder: Path, *words: str) -> str:
    name = ("-c", "user.name=walk", "-c", "user.email=walk@example.org")
    done = subprocess.run(
        ["git", *name, *words], cwd=folder, check=True, text=True, stdout=subprocess.PIPE
    )
    return done.stdout


def furnish(folder: Path, clone: Path) -> None:
    """Make a reader's recordings, shards, checkpoint and texts, of what the clone has made."""
    spoken = [
        speak(text, number)
        for number, text in enumerate(["おはよう、美咲。", "海で遊ぼうよ、先輩。"])
    ]
    write(folder / "scene.mp4", stitch(spoken, [1.0, 2.0, 1.0])[0], video=True)
    (folder / "disk").mkdir()
    recordings, tars = folder / "recordings", folder / "galgame"
    recordings.mkdir()
    for number, line in enumerate(lines()):
        write(recordings / f"{number:04}.wav", speak(line, number))
        (recordings / f"{number:04}.txt").write_text(f"{line}\n")
    tars.mkdir()
    for path in (clone / "data/raw/vn").glob("*.tar"):
        shutil.copy(path, tars)
    shutil.copytree(clone / "models/full/p100", folder / "my-checkpoint")
    (row, *_) = utterances.read(clone / "data/manifest/vn.parquet").to_dict("records")
    heard = Correction(row["id"], "keep", row["text"], "", "a friend", now())
    append(folder / "theirs.tsv", heard)
    for name in ("references.txt", "hypotheses.txt"):
        (folder / name).write_text("a 海で遊ぼうよ\n")


def environment(folder: Path, hub: str) -> dict[str, str]:
    """Variables of a reader's terminal, whose HOME has a name for git and nothing else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_A_READERS)}
    path = [p for p in kept["PATH"].split(":") if not Path(p).is_relative_to(REPOSITORY)]
    pip = [sys.executable, "-m", "pip", "cache", "dir"]
    home = folder / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\nname = walk\nemail = walk@example.org\n")
    return kept | {
        "HOME": str(home), "PATH": ":".join(path), "HF_ENDPOINT": hub, "HF_TOKEN": "my-token",
        "HF_HUB_DISABLE_XET": "1",  # the hub here takes files in parts
        "PIP_CACHE_DIR": subprocess.check_output(pip, text=True).strip(),
    }  # fmt: skip


def lend(clone: Path) -> None:
    """Give the clone this repository's environment, which takes minutes to install: by hard links.

    What names this repository in it, such as the first lines of commands, names the clone.
    """
    own, lent = REPOSITORY / ".venv", clone / ".venv"

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:  # another disk
            shutil.copy2(source, target)

    shutil.copytree(own, lent, symlinks=True, copy_function=link)
    packages = next(lent.glob("lib/python*/site-packages"))
    texts = [*lent.glob("bin/*"), *packages.glob("*.pth"), *packages.glob("*/direct_url.json")]
    for file in (lent / "run", lent / "dev", lent / "pyvenv.cfg", *texts):
        if file.is_file() and not file.is_symlink():
            data, mode = file.read_bytes(), file.stat().st_mode
            file.unlink()  # this repository has it too
            file.write_bytes(data.replace(os.fsencode(REPOSITORY), os.fsencode(clone)))
            file.chmod(mode)


def main() -> None:
    """Clone HEAD and walk."""
    log = REPOSITORY / "logs/walk.log"
    log.parent.mkdir(exist_ok=True)
    failures = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="walk-")))
        clone = folder / "clone"
        bucket = s3.serving(folder / "s3", bucket="my-bucket", key="my-key", secret="my-secret")
        endpoint = stack.enter_context(bucket)
        hub = stack.enter_context(hub_uploads.serving())
        hub.chunk = 1 << 20
        _git(folder, "init", "--quiet", "--bare", "--initial-branch", "main", "origin.git")
        _git(REPOSITORY, "push", "--quiet", str(folder / "origin.git"), "HEAD:refs/heads/main")
        _git(folder, "clone", "--quiet", "origin.git", "clone")

        def made() -> None:
            """After `make repro`: the results are those that are committed."""
            if changed := _git(clone, "status", "--porcelain"):
                failures.append(f"`make repro` changed what is committed:\n{changed}")
                _git(clone, "commit", "--quiet", "--all", "--message", "made here")  # to go on from
            furnish(folder, clone)

        terminal = Terminal(clone, log, environment(folder, hub.url))
        stack.callback(terminal.close)
        values = {
            name: value.format(folder=folder, s3=endpoint) for name, value in STAND_INS.items()
        }
        if QUICK in sys.argv:
            lend(clone)
        pages_ = tuple(word for word in sys.argv[1:] if word != QUICK)
        left_out = LEFT_OUT | LONG if QUICK in sys.argv else LEFT_OUT
        Walk(clone, terminal, values, left_out, {"make repro": made}, pages_).go()
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
