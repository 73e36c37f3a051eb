"""Decisions about labels: no line is lost, whoever writes and whenever it is killed."""

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from galgame_asr.manifests.corrections import (
    HEADER,
    Correction,
    What,
    append,
    change,
    latest,
    now,
    path_of,
    read,
)
from galgame_asr.messages.errors import DataError
from tests.conftest import REPOSITORY

WHEN = "2026-11-26T09:58:43Z"


def of(id_: str = "a", what: What = "text", text: str = "はい。", **others: Any) -> Correction:
    """A decision with values of which those that matter to a test are given."""
    values = {"was": "いいえ。", "by": "葉", "when": WHEN} | others
    return Correction(id_, what, text=text if what == "text" else "", **values)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Every field, whatever stands in it; the file is text with one line per decision."""
    path = path_of("vn", tmp_path / "none" / "yet")
    odd = "a\tb\nc\\d\\n\r\\\t\u2028\u0085\ufeff 「」"
    wanted = [
        of(odd, text=odd, was=odd, by=odd, why=odd), of(what="drop"), of("ｂ", "keep", was=""),
    ]  # fmt: skip
    for number, one in enumerate(wanted, 1):
        append(path, one)
        assert read(path) == wanted[:number]
    assert path.read_bytes().count(b"\n") == 4
    assert path.read_bytes().count(b"\t") == 4 * 6
    assert [one.line for one in read(path)] == [2, 3, 4]
    assert list(path.parent.iterdir()) == [path]


def test_every_short_field_survives(tmp_path: Path) -> None:
    """Of backslashes, tabs, line ends and the letters of escapes, in any order."""
    path = tmp_path / "vn.tsv"
    whys = ["".join(letters) for letters in itertools.product("\\\t\n\rntr", repeat=3)]
    change(path, lambda _: [of(why=why) for why in whys])
    assert [one.why for one in read(path)] == whys


def test_the_last_line_of_an_id_counts(tmp_path: Path) -> None:
    """And the lines before stay."""
    path = tmp_path / "vn.tsv"
    for one in [of("a"), of("b"), of("a", "drop"), of("b", text="うん。"), of("c", "keep")]:
        append(path, one)
    found = latest(read(path))
    assert {id_: one.what for id_, one in found.items()} == {"a": "drop", "b": "text", "c": "keep"}
    assert found["b"].text == "うん。"
    assert len(read(path)) == 5


def test_no_decisions(tmp_path: Path) -> None:
    """No file, an empty one and one of a head alone."""
    path = tmp_path / "vn.tsv"
    assert read(path) == []
    path.write_bytes(b"")
    assert read(path) == []
    path.write_text(f"{HEADER}\n")
    assert read(path) == []


def test_files_of_people(tmp_path: Path) -> None:
    """With CRLF, a byte order mark, blank lines and no end of the last line."""
    path = tmp_path / "vn.tsv"
    path.write_bytes(f"\ufeff{HEADER}\r\n\r\na\tdrop\t\t\t葉\t{WHEN}\t".encode())
    append(path, of("b"))
    assert read(path) == [of("a", "drop", was=""), of("b")]


LINE = f"a\ttext\tいいえ。\tはい。\t葉\t{WHEN}\t"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\twhat\n", r"vn\.tsv:1: 'id\\twhat' is no header; write 'id\\twhat\\twas\\ttext"),
        (f"{HEADER}\n\na\tdrop\n", r"vn\.tsv:3: id 'a' has 2 columns; write 7: id, what, was"),
        (f"{HEADER}\n{LINE}\tx", r"vn\.tsv:2: id 'a' has 8 columns"),
        (f"{HEADER}\n{LINE}a\\d", r"vn\.tsv:2: id 'a' has '\\\\d' in column why; write a back"),
        (f"{HEADER}\n{LINE}a\\", r"vn\.tsv:2: id 'a' has '\\\\' in column why"),
        (f"{HEADER}\n{LINE[1:]}", r"vn\.tsv:2: id '': no id"),
        (
            f"{HEADER}\n{LINE.replace('text', 'Text')}",
            r"vn\.tsv:2: id 'a': what is 'Text'; write text, drop or keep",
        ),
        (f"{HEADER}\n{LINE.replace('はい。', ' ')}", r"id 'a': the new text is empty; write one"),
        (
            f"{HEADER}\n{LINE.replace('text', 'drop')}",
            r"id 'a': 'drop' has a text, 'はい。'; write",
        ),
        (f"{HEADER}\n{LINE.replace('葉', ' ')}", r"id 'a': nobody's name in column by"),
        (f"{HEADER}\n{LINE.replace('Z', '+09:00')}", r"id 'a': when is '.*\+09:00'; write UTC"),
        (f"{HEADER}\n{LINE.replace('-11-', '-13-')}", r"id 'a': when is '2026-13-26T"),
        (f"{HEADER}\n{LINE.replace(':43Z', 'Z')}", r"id 'a': when is '2026-11-26T09:58Z'"),
        (f"<<<<<<< HEAD\n{HEADER}\n", r"vn\.tsv:1: '<<<<<<< HEAD' is no header"),
    ],
)
def test_a_line_that_is_no_decision_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """By its number; and a change leaves the file as it is."""
    path = tmp_path / "vn.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read(path)
    with pytest.raises(DataError, match=message):
        change(path, lambda old: old)
    assert path.read_text() == text


def test_nothing_is_added_to_another_file(tmp_path: Path) -> None:
    """Of another head."""
    path = tmp_path / "vn.tsv"
    path.write_text("id\treason\na\tx\n")
    with pytest.raises(DataError, match=r"vn\.tsv:1: 'id\\treason' is no header"):
        append(path, of())
    assert path.read_text() == "id\treason\na\tx\n"


def test_half_a_character_is_refused() -> None:
    """JavaScript's strings may hold one, and no UTF-8 does."""
    with pytest.raises(DataError, match="half a character"):
        of(text="\ud83d")


def test_now_is_a_time_of_a_decision() -> None:
    """In UTC with seconds."""
    assert of(when=now()).when.endswith("Z")


def test_threads_lose_nothing(tmp_path: Path) -> None:
    """Eight of them add to one file that is not there at first."""
    path = tmp_path / "vn.tsv"
    wanted = [of(str(number)) for number in range(80)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: append(path, one), wanted))
    assert sorted(read(path), key=lambda one: int(one.id)) == wanted


WRITER = f"""
import sys
from pathlib import Path
from galgame_asr.manifests.corrections import Correction, append
name = sys.argv[2]
for number in range(int(sys.argv[3])):
    append(Path(sys.argv[1]), Correction(f"{{name}}{{number}}", "drop", "", "", name, "{WHEN}"))
    print(number, flush=True)
"""


def writer(path: Path, name: str, count: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "src")},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_processes_and_a_kill_lose_nothing(tmp_path: Path) -> None:
    """Two write; one is killed in the middle: all that it told to have written is there."""
    path = tmp_path / "vn.tsv"
    killed, other = writer(path, "k", 100_000), writer(path, "o", 150)
    assert other.stdout
    assert killed.stdout
    told = 0
    for line in killed.stdout:
        told = int(line)
        if told == 60:
            killed.send_signal(signal.SIGKILL)
            break
    told = max([told, *map(int, killed.stdout.read().split())])
    killed.wait()
    other.communicate()
    assert other.returncode == 0
    found = [one.id for one in read(path)]
    assert [id_ for id_ in found if id_[0] == "o"] == [f"o{number}" for number in range(150)]
    own = [id_ for id_ in found if id_[0] == "k"]
    assert own == [f"k{number}" for number in range(len(own))]
    assert told + 1 <= len(own) <= told + 2  # written, and killed before it was told


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing beside it."""
    path = tmp_path / "vn.tsv"
    append(path, of())
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        append(path, of("b"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_decision_is_on_the_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes before the file has its name, and then the name."""
    path = tmp_path / "vn.tsv"
    order: list[str] = []
    fsync, replaced = os.fsync, Path.replace

    def synced(number: int) -> None:
        order.append("folder" if Path(f"/proc/self/fd/{number}").is_dir() else "bytes")
        fsync(number)

    def named(self: Path, target: Path) -> Path:
        order.append("name")
        return replaced(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", named)
    append(path, of())
    assert order == ["bytes", "name", "folder"]


def test_a_decision_does_not_change(tmp_path: Path) -> None:
    """Whoever has one may keep it."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        of().text = "x"  # type: ignore[misc]
