"""Files of people, damaged: a reader gives rows, flags or an error that names the file."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from galgame_asr.messages.errors import DataError
from tests import fuzz
from tests.fuzz import Files, Reader
from tests.fuzz_readers import READERS

# `make fuzz` reads 20,000.
NUMBERS = 50
FILES: Files = {"a.tsv": b"audio\ttext\n" * 4}


@pytest.mark.parametrize("name", READERS)
def test_readers_of_files_of_people(name: str) -> None:
    """Files as they should be, and some inputs that are damaged, the same ones each time."""
    reader = READERS[name]
    inputs = [fuzz.make(reader, number) for number in range(len(reader.seeds) + NUMBERS)]
    found = {number: fuzz.fault(reader, files) for number, files in enumerate(inputs)}
    assert {number: fault for number, fault in found.items() if fault} == {}
    assert len({repr(files) for files in inputs}) > len(reader.seeds) + NUMBERS // 2


def test_a_number_is_an_input() -> None:
    """So that a fault of the long run can be looked at by its number."""
    assert fuzz.make(READERS["tar"], 77) == fuzz.make(READERS["tar"], 77)


def unnamed(_folder: Path) -> None:
    raise DataError("line 3 is wrong")


def named(folder: Path) -> None:
    raise DataError(f"{folder / 'a.tsv'} line 3 is wrong")


def other(folder: Path) -> None:
    if len((folder / "a.tsv").read_bytes()) > 5:
        raise KeyError("audio")


def endless(_folder: Path) -> None:
    while True:
        time.sleep(0.01)


def large(_folder: Path) -> None:
    np.empty(fuzz.MAX_ASKED // 2 + fuzz.MAX_ASKED, np.uint8)


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (named, None),
        (unnamed, "DataError that names no file"),
        (other, "KeyError at"),
        (endless, "Hang at"),
        (large, "MemoryError at"),
    ],
)
def test_what_a_fault_is(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], None], found: str | None
) -> None:
    """An error that names no file, any other exception, no end, memory that a header asks for."""
    monkeypatch.setattr(fuzz, "DEADLINE_S", 0.2)
    fault = fuzz.fault(Reader([FILES], read, 1), FILES)
    assert fault is None if found is None else str(fault).startswith(found)


def test_a_quiet_reader_raises_nothing() -> None:
    """Of audio there are flags, not even an error of the project's."""
    assert fuzz.fault(Reader([FILES], named, 1, quiet=True), FILES)


def test_the_smallest_input() -> None:
    """As few bytes as give the same fault."""
    reader = Reader([FILES], other, 1)
    least = fuzz.smallest(reader, FILES, fuzz.fault(reader, FILES) or "")
    assert len(least["a.tsv"]) == 6
