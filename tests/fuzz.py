"""Files of people, damaged in every way: python -m tests.fuzz [--inputs N] [--reader NAME].

Whatever the bytes, a reader gives rows with flags, or one of the project's errors, which names
the file: no other exception, no hang, and no memory that a header alone asks for. An input is
files of `tests.fuzz_readers`, changed by what its number draws, so that a number means the same
input each time. The process prints each fault with its smallest input, and exits with 1 after any.
"""

import argparse
import contextlib
import faulthandler
import io
import json
import logging
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import psutil

from galgame_asr.messages.errors import GalgameAsrError

Files = dict[str, bytes]  # by their names in one folder

DEADLINE_S = 20.0
# Address space and resident memory beyond what the process has before an input of a few kB.
MAX_ASKED = 1 << 30
MAX_USED = 256 << 20
SMALLEST_S = 10.0  # for the search of a smallest input
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0x7FFF, 0x8000, 0x7FFF_FFFF, 0x8000_0000, 1 << 62, 1 << 63)
MB = 1 << 20
LAST_LINES = 20  # shown of what a process said that was ended


@dataclass(frozen=True)
class Reader:
    """What reads files of one kind.

    Attributes:
        seeds: files as people have them.
        read: reads the folder that they are in, named as in `seeds`; what it raises is judged.
        share: of all inputs, against the other readers'.
        words: bytes that mean something to it.
        mend: sets checksums right after a change, which else hide all that comes behind them.
        quiet: it names no file but flags: it must raise nothing at all.
    """

    seeds: Sequence[Files]
    read: Callable[[Path], object]
    share: int
    words: Sequence[bytes] = ()
    mend: Callable[[bytes], bytes] = bytes
    quiet: bool = False


class Hang(BaseException):
    """Raised into a reader at its deadline; no `except Exception` holds it."""


def make(reader: Reader, number: int) -> Files:
    """The input of that number; the first ones are the seeds as they are."""
    if number < len(reader.seeds):
        return dict(reader.seeds[number])
    draw = random.Random(number)
    files = dict(draw.choice(reader.seeds))
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        name = draw.choice(list(files))
        other = draw.choice(list(draw.choice(reader.seeds).values()))
        files[name] = _changed(files[name], other, reader.words, draw)
    if draw.random() < 0.8:
        files = {name: reader.mend(data) for name, data in files.items()}
    return files


def _changed(data: bytes, other: bytes, words: Sequence[bytes], draw: random.Random) -> bytes:
    """One change of a file, as often as not near its head, where the lengths stand."""
    reach = draw.choice((64, 256, len(data) + 1, len(data) + 1))
    at = draw.randrange(min(reach, len(data) + 1))
    end = min(len(data), at + draw.choice((1, 2, 4, 16, 64, 512, 4096)))
    kind = draw.choice(("flip", "number", "number", "cut", "remove", "repeat", "splice", "word"))
    new = draw.randbytes(end - at)
    if kind == "word" and words:
        new, end = draw.choice(words), draw.choice((at, end))
    elif kind == "number":
        size, order = draw.choice((1, 2, 3, 4, 8)), draw.choice(("little", "big"))
        value = draw.choice((1, -1)) * draw.choice(EXTREMES) + draw.choice((0, 0, -1))
        new = (value % (1 << 8 * size)).to_bytes(size, order)  # type: ignore[arg-type]
        end = at + size
    elif kind == "cut":
        new, end = b"", len(data)
    elif kind == "remove":
        new = b""
    elif kind == "repeat":
        new = data[at:end] * draw.choice((2, 3, 51))
    elif kind == "splice":
        new, end = other[draw.randrange(len(other) + 1) :], len(data)
    return data[:at] + new + data[end:]


def fault(reader: Reader, files: Files) -> str | None:
    """What a reader did to an input that it must not do, as one line; None if nothing."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "in"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        before, start = _resident(), time.monotonic()
        found = _raised(reader, folder, files)
        if found is None and time.monotonic() - start > DEADLINE_S:
            found = f"took {time.monotonic() - start:.0f} s"
        if found is None and _resident() - before > MAX_USED:
            found = f"used {(_resident() - before) / MB:.0f} MB"
        return found


def _raised(reader: Reader, folder: Path, files: Files) -> str | None:
    unseen: list[str] = []
    try:
        with _bounded(), _hooked(unseen), contextlib.redirect_stdout(io.StringIO()):
            reader.read(folder)
    except GalgameAsrError as error:
        if reader.quiet or not any(name in str(error) for name in (str(folder), *files)):
            return f"{type(error).__name__} that names no file: {error}"
    except (Exception, Hang) as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "galgame_asr" in frame.filename] or frames
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        return f"{type(error).__name__} at {where}: {error!s:.200}"
    return unseen[0] if unseen else None


@contextlib.contextmanager
def _hooked(unseen: list[str]) -> Iterator[None]:
    """Note exceptions of what C calls, of which Python only prints a traceback."""
    previous = sys.unraisablehook
    sys.unraisablehook = lambda one: unseen.append(f"{one.exc_type.__name__} below C: {one}")
    try:
        yield
    finally:
        sys.unraisablehook = previous


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Deadline and address space of one input."""

    def late(*_: object) -> None:
        raise Hang(f"no end after {DEADLINE_S:.0f} s")

    limits = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + MAX_ASKED
    previous = signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, previous)


def _resident() -> int:
    """The most bytes that this process ever had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def smallest(reader: Reader, files: Files, found: str) -> Files:
    """An input that does the same with as few bytes as a short search gives."""
    kind, end = found.split(":", maxsplit=1)[0], time.monotonic() + SMALLEST_S

    def same(tried: Files) -> bool:
        return (fault(reader, tried) or "").split(":", maxsplit=1)[0] == kind

    for name in list(files):
        size = len(files[name])
        while size and time.monotonic() < end:
            at = 0
            while at < len(files[name]) and time.monotonic() < end:
                shorter = files | {name: files[name][:at] + files[name][at + size :]}
                if same(shorter):
                    files = shorter
                else:
                    at += size
            size //= 2
    return files


def run(name: str, reader: Reader, numbers: range) -> None:
    """Read inputs in this process; a line of JSON before each and after a fault."""
    faulthandler.enable()
    # What happens inside of C is seen by a thread alone, which ends the process.
    for number in numbers:
        print(json.dumps({"number": number}), flush=True)
        faulthandler.dump_traceback_later(DEADLINE_S * 1.5, exit=True)
        files = make(reader, number)
        found = fault(reader, files)
        faulthandler.cancel_dump_traceback_later()
        if found:
            least = {key: data.hex() for key, data in smallest(reader, files, found).items()}
            print(json.dumps({"reader": name, "fault": found, "files": least}), flush=True)
    print(json.dumps({"used_mb": _resident() // MB}), flush=True)


def watch(name: str, numbers: range) -> tuple[list[str], int]:
    """Faults of inputs read in a process of their own, and its memory in MB.

    A process that a reader killed is itself a fault, and another one goes on behind that input.
    """
    faults, used_mb, first = [], 0, numbers.start
    while first < numbers.stop:
        command = [sys.executable, "-m", "tests.fuzz", "--reader", name]
        command += ["--numbers", str(first), str(numbers.stop)]
        # libmpg123 writes about each damaged file; where the process ended, it says at its end.
        with (
            TemporaryFile("w+") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                said = json.loads(line)
                first = said.get("number", first)
                used_mb = max(used_mb, said.get("used_mb", 0))
                if "fault" in said:
                    faults.append(f"{name} {first}: {said['fault']}\n  {said['files']}")
            process.wait()
            errors.seek(0)
            last = "".join(errors.readlines()[-LAST_LINES:])
        if process.returncode:
            faults.append(f"{name} {first}: the process ended with {process.returncode}\n{last}")
        first += 1
        if not process.returncode:
            break
    return faults, used_mb


def main() -> None:
    """Read all inputs and say what was found."""
    from tests.fuzz_readers import READERS  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--reader", choices=READERS)
    parser.add_argument("--numbers", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.numbers:
        logging.disable()
        run(options.reader, READERS[options.reader], range(*options.numbers))
        return
    names = [options.reader] if options.reader else list(READERS)
    shares = sum(READERS[name].share for name in names)
    num_faults = 0
    for name in names:
        start = time.monotonic()
        count = max(1, options.inputs * READERS[name].share // shares)
        faults, used_mb = watch(name, range(count))
        num_faults += len(faults)
        for one in faults:
            print(one)
        print(
            f"{name}: {count} inputs, {len(faults)} faults, {used_mb} MB, "
            f"{time.monotonic() - start:.0f} s",
            flush=True,
        )
    sys.exit(num_faults > 0)


if __name__ == "__main__":
    main()
