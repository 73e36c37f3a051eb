r"""corrections/CORPUS.tsv, which people keep in git: what they decided about labels, line by line.

Seven columns, parted by tabs: id, what, was, text, by, when, why. Lines are only ever added, and
the last of an id counts, so that the history of decisions stays. In a field a backslash stands as
`\\`, a tab as `\t`, a line's end as `\n`, a carriage return as `\r`; every field is one line so.
"""

import fcntl
import os
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from galgame_asr.messages.errors import DataError
from galgame_asr.text.lines import lines

FOLDER = Path("corrections")
# Flags of rows that were decided about: the text is a person's; the row is in no set. And of
# models' that nobody has decided about: drafts are in no set either, pseudo rows in train alone.
CORRECTED, DROPPED, DRAFT, PSEUDO = "corrected", "dropped", "draft", "pseudo"
IN_NO_SET = {DROPPED, DRAFT}
What = Literal["text", "drop", "keep"]
COLUMNS = ("id", "what", "was", "text", "by", "when", "why")
HEADER = "\t".join(COLUMNS)
WHATS: tuple[str, ...] = typing.get_args(What)
_WHEN = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_PLAIN = {escaped: chr(plain) for plain, escaped in _ESCAPES.items()}
_ESCAPED = re.compile(r"\\.?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Correction:
    """One decision of a person about the label of one utterance.

    Raises:
        DataError: a field is not as it is described here.
    """

    id: str
    # `text`: the label becomes column text; `drop`: the utterance is in no set; `keep`: a person
    # listened, and the label is right.
    what: What
    # The label that was heard, as the manifest has it. Empty: not told, and then it is not
    # noticed when the corpus has another label one day.
    was: str
    text: str  # of `text` alone; elsewhere empty
    by: str
    when: str  # UTC, as `now` gives it
    why: str = ""
    line: int = field(default=0, compare=False)  # in its file, from 1; 0: in none yet

    def __post_init__(self) -> None:
        if problem := self._wrong_label() or self._wrong_origin():
            raise DataError(f"id {self.id!r}: {problem}")

    def _wrong_label(self) -> str:
        """What cannot be in the columns that say what is to be done; empty if nothing."""
        if not self.id:
            return "no id; write that of an utterance in the first column"
        if self.what not in WHATS:
            return f"what is {self.what!r}; write {', '.join(WHATS[:-1])} or {WHATS[-1]}"
        if self.what == "text" and not self.text.strip():
            return "the new text is empty; write one, or `drop` in place of `text`"
        if self.what != "text" and self.text:
            return f"{self.what!r} has a text, {self.text!r}; write `text`, or take the text out"
        return ""

    def _wrong_origin(self) -> str:
        """The same for those that say who did it when, and for all letters."""
        if not self.by.strip():
            return "nobody's name in column by; write who decided"
        if not _is_time(self.when):
            return f"when is {self.when!r}; write UTC with seconds, as {now()}"
        try:
            str(self).encode()
        except UnicodeEncodeError:
            return "a field has half a character (a lone surrogate); write it anew"
        return ""

    def __str__(self) -> str:
        """The line of the file, without its end."""
        return "\t".join(_escape(getattr(self, name)) for name in COLUMNS)


def now() -> str:
    """The time in UTC, as column `when` has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_time(when: str) -> bool:
    try:
        return bool(_WHEN.fullmatch(when) and datetime.fromisoformat(when))
    except ValueError:
        return False


def _escape(value: str) -> str:
    return value.translate(_ESCAPES)


def path_of(corpus: str, folder: Path = FOLDER) -> Path:
    """The file of a corpus."""
    return folder / f"{corpus}.tsv"


def read(path: Path) -> list[Correction]:
    """All decisions of a file, oldest first; none where it is empty or not there.

    Raises:
        DataError: the head is another, or a line is no decision; the message has its number.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return _parse(data, path)


def latest(corrections: Iterable[Correction]) -> dict[str, Correction]:
    """The decision that counts, by id: the last."""
    return {one.id: one for one in corrections}


def histories(corrections: Iterable[Correction]) -> dict[str, list[Correction]]:
    """All decisions about each id, oldest first."""
    found: dict[str, list[Correction]] = {}
    for one in corrections:
        found.setdefault(one.id, []).append(one)
    return found


def problem(
    history: Sequence[Correction], label: str | None, text_of: Callable[[str], str], path: Path
) -> str:
    """Why the last decision about an utterance cannot be carried out; empty if it can.

    It must be about the label that the corpus has, or about one that an earlier decision, itself
    about such a label, has put in its place.

    Args:
        history: all decisions about one id, oldest first.
        label: that of the corpus, as the manifest has it; None if there is no such utterance.
        text_of: what the manifest makes of a text.
        path: of the file, for the message.
    """
    last = history[-1]
    where = f"{path}:{last.line}: id {last.id!r}"
    if label is None:
        return f"{where} is none of the corpus; correct it, or take out all of its lines"
    known, fits = {label}, True
    for one in history:
        fits = not one.was or one.was in known
        if fits and one.what == "text":
            known.add(text_of(one.text))
    if fits:
        return ""
    return (
        f"{where} was {last.was!r} to {last.by}, but the corpus has {label!r}; listen again, and "
        "add a line with that in column was"
    )


def append(path: Path, correction: Correction) -> None:
    """Add a decision: on return its line is on the disk.

    Whenever this is killed the file is the old or the new one. Several processes and threads may
    add to one file, one after the other. Of the lines before, the head alone is looked at.

    Raises:
        DataError: the file has another head; nothing is written then.
        OSError: the disk does not take it; the file is the old one then.
    """
    with _locked(path) as file:
        data = file.read()
        head, *_ = lines(data.partition(b"\n")[0], str(path)) or [HEADER]
        _refuse_head(head, path)
        before = data.rstrip(b"\r\n") or HEADER.encode()
        _replace(path, before + f"\n{correction}\n".encode())


def change(path: Path, new: Callable[[list[Correction]], Iterable[Correction]]) -> None:
    """Replace all decisions of a file by what `new` makes of them, as `append` does it.

    Raises:
        DataError: as for `read`, or by `new`; nothing is written then.
    """
    with _locked(path) as file:
        text = "".join(f"{line}\n" for line in [HEADER, *new(_parse(file.read(), path))])
        _replace(path, text.encode())


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """The file, opened, which nobody else changes meanwhile; made empty if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever had the lock before has put another file in its place.
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                file.seek(0)
                yield file
                return


def _replace(path: Path, data: bytes) -> None:
    """Put new content on the disk and then in the place of the old."""
    # One name, since nobody else writes: what a kill leaves, the next change takes away.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # From here on it may be that of whoever has the lock of the new file.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name too
    finally:
        os.close(folder)


def _parse(data: bytes, path: Path) -> list[Correction]:
    first, *rest = lines(data, str(path)) or [HEADER]
    _refuse_head(first, path)
    return [_of_line(line, number, path) for number, line in enumerate(rest, 2) if line.strip()]


def _refuse_head(head: str, path: Path) -> None:
    if head != HEADER:
        raise DataError(f"{path}:1: {head!r} is no header; write {HEADER!r}, with tabs between")


def _of_line(line: str, number: int, path: Path) -> Correction:
    found = line.split("\t")
    if len(found) != len(COLUMNS):
        raise DataError(
            f"{path}:{number}: id {found[0]!r} has {len(found)} columns; write {len(COLUMNS)}: "
            f"{', '.join(COLUMNS)}, of which was, text and why may be empty"
        )
    values = {}
    for name, value in zip(COLUMNS, found, strict=True):
        values[name] = value
        if "\\" not in value:
            continue
        if wrong := [part for part in _ESCAPED.findall(value) if part not in _PLAIN]:
            raise DataError(
                f"{path}:{number}: id {found[0]!r} has {wrong[0]!r} in column {name}; write a "
                r"backslash as \\, a tab as \t, line ends as \n and \r"
            )
        values[name] = _ESCAPED.sub(lambda match: _PLAIN[match[0]], value)
    what = typing.cast(What, values.pop("what"))
    try:
        return Correction(what=what, line=number, **values)
    except DataError as error:
        raise DataError(f"{path}:{number}: {error}") from None
