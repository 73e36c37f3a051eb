"""How a command ends whose output nobody reads, or cannot be shown."""

import os
import subprocess
import sys

from tests.conftest import REPOSITORY

PRINT = "print('葵、おはよう。' * 1000, flush=True)"


def program(main: str) -> list[str]:
    code = f"from galgame_asr.messages.console import run\ndef main(_):\n    {main}\nrun(main)"
    return [sys.executable, "-c", code]


def test_a_reader_who_has_enough_ends_it_quietly() -> None:
    """As in `transcribe ... | head`: no traceback, and the status of SIGPIPE."""
    read, write = os.pipe()
    process = subprocess.Popen(
        program(f"[{PRINT} for _ in range(1000)]"), cwd=REPOSITORY / "src", stdout=write,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(write)
    os.read(read, 10)
    os.close(read)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (141, b"")


def test_a_broken_pipe_of_something_else_is_a_bug() -> None:
    """Such as that to a process of its own: it keeps its traceback."""
    done = subprocess.run(
        program("raise BrokenPipeError('to a worker')"), cwd=REPOSITORY / "src", text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.endswith("BrokenPipeError: to a worker\n")


def test_what_a_terminal_cannot_show_is_replaced() -> None:
    """With one line that says so, and status 0."""
    done = subprocess.run(
        program("print('a葵'); print('b')"), cwd=REPOSITORY / "src", text=True, check=True,
        capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert done.stdout == "a?\nb\n"
    (line,) = done.stderr.splitlines()
    assert line.endswith("output is ascii, not UTF-8: what it lacks is shown as ?")
