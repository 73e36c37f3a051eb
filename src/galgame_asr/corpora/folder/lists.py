"""Lists of recordings: tables of one's own, those of two trainers, and Kaldi's.

A line of a .jsonl or .json file is known by its keys: `audio` and `text`; `messages`, as
FunASR's trainer has it; or `audio.path` with `sentence`, as Whisper-Finetune has it
(https://github.com/yeyupiaoling/Whisper-Finetune).
"""

import contextlib
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

from galgame_asr.corpora.folder.params import Kaldi
from galgame_asr.messages.errors import DataError
from galgame_asr.text.lines import BLANKS, by_id, lines

SHOWN = 5  # ids named in a message
TABLES = (".tsv", ".jsonl", ".json")
SPEECH = re.compile(r"<\|startofspeech\|>!(.*?)<\|endofspeech\|>", re.DOTALL)
ALLOWED = (
    "allowed: audio and text, or FunASR's messages, or Whisper-Finetune's audio.path and sentence"
)
TURN = (
    'allowed: one {"role": "user"} with one <|startofspeech|>!PATH<|endofspeech|>, and after it '
    'one {"role": "assistant"} with the text'
)
Span = tuple[float, float]  # start and end in a file, in seconds


@dataclass(frozen=True)
class Recording:
    """An utterance: one audio file, or a part of one, and its text; None for what is not there."""

    id: str
    audio: Path | None
    text: str | None
    span_s: Span | None = None  # None: all of the file


@dataclass(frozen=True)
class _Line:
    """What a line of a table says; the audio as it is written there."""

    id: str | None
    audio: str
    text: str | None
    span_s: Span | None = None


def table(path: Path) -> list[Recording]:
    """The rows of a table; one without an id is named by its audio.

    Raises:
        DataError: a line is none of those that are allowed, and the message says which.
    """
    found = []
    for number, row in _rows(path):
        line = _line(row, where := f"{path} line {number}")
        if not Path(line.audio).name:
            raise DataError(f"{where}: audio is {line.audio!r}; allowed: the path of a file")
        found.append(line)
    base = _base(path.parent, (line.audio for line in found))
    return [
        Recording(line.id or _id(line), _file(base, line.audio), line.text, line.span_s)
        for line in found
    ]


def _id(line: _Line) -> str:
    id_ = Path(line.audio).with_suffix("").as_posix().lstrip("./")
    return id_ if line.span_s is None else "{}-{:.3f}-{:.3f}".format(id_, *line.span_s)


def _base(folder: Path, names: Iterable[str]) -> Path:
    """The folder that relative names of a list start from: the list's own, or one above it.

    A trainer's list has paths that start where the trainer ran. The nearest folder under which
    one of the files lies is that of all.
    """
    folders = (folder, *folder.absolute().parents)
    for name in names:
        if not Path(name).is_absolute():
            for base in folders:
                with contextlib.suppress(OSError):  # no name at all; said when the file is read
                    if _file(base, name).is_file():
                        return base
    return folder


def _file(base: Path, name: str) -> Path:
    """A file that a list names: as Windows or macOS spell it, where it is not there as written."""
    with contextlib.suppress(OSError):  # no name at all; it will be said when the file is read
        for spelt in (name, name.replace("\\", "/")):
            for form in (spelt, normalize("NFC", spelt), normalize("NFD", spelt)):
                if (base / form).is_file():
                    return base / form
    return base / name


def _line(row: dict[str, Any], where: str) -> _Line:
    if "messages" in row:
        return _of_messages(row, where)
    if isinstance(row.get("audio"), dict):
        return _of_whisper_finetune(row, where)
    audio = _value(row, "audio", where)
    if not audio:
        raise DataError(f"{where} has no column audio; its columns: {_shown(row)}; {ALLOWED}")
    return _Line(_value(row, "id", where), audio, _value(row, "text", where))


def _of_messages(row: dict[str, Any], where: str) -> _Line:
    """The audio that the user's message names, and the assistant's text.

    What else the user says is the prompt, which params.yaml has for all utterances.
    """
    said: dict[str, list[str]] = {"system": [], "user": [], "assistant": []}
    try:
        for message in row["messages"]:
            said[message["role"]].append(_value(message, "content", f"{where}: messages") or "")
        (user,), (text,) = said["user"], said["assistant"]
        (audio,) = SPEECH.findall(user)
    except (KeyError, TypeError, ValueError):
        found = json.dumps(row["messages"], ensure_ascii=False)
        raise DataError(f"{where}: messages is {found:.200}; {TURN}") from None
    return _Line(_value(row, "key", where), audio, text)


def _of_whisper_finetune(row: dict[str, Any], where: str) -> _Line:
    """A file or a part of one, and its sentence; or what its `sentences` are, with their times."""
    audio = row["audio"]
    path = _value(audio, "path", f"{where}: audio")
    if not path:
        raise DataError(f"{where}: audio has no path; its keys: {_shown(audio)}; {ALLOWED}")
    text = _value(row, "sentence", where)
    if "sentences" in row and (text is None or row["sentences"]):
        text = _of_sentences(row["sentences"], text, f"{where}: sentences")
    span_s = None
    if "start_time" in audio or "end_time" in audio:
        times = audio.get("start_time"), audio.get("end_time")
        span_s = _span(times, f"{where}: audio is from {times[0]} to {times[1]}")
    return _Line(None, path, text, span_s)


def _of_sentences(found: Any, text: str | None, where: str) -> str:
    """The text of sentences, in which stage manifest finds their times: <|0.00|>はい。<|1.24|>.

    Without times it is `text`, if there is one. With them, `text` says whether there are blanks
    between sentences; its punctuation may be other than theirs.
    """
    try:
        texts = [_value(sentence, "text", where) or "" for sentence in found]
        times = [(sentence.get("start"), sentence.get("end")) for sentence in found]
    except (AttributeError, TypeError):
        shown = json.dumps(found, ensure_ascii=False)
        raise DataError(
            f'{where} is {shown:.80}; allowed: a list like [{{"start": 0.0, "end": 1.5, '
            '"text": "はい"}]'
        ) from None
    if all(time == (None, None) for time in times):
        return "".join(texts) if text is None else text
    if text is not None:
        if _said("".join(texts)) != _said(text):
            raise DataError(
                f"{where} say {''.join(texts)!r:.80}, and sentence {text!r:.80}; allowed: the same "
                "but for blanks and punctuation, or one of them alone"
            )
        if text.split() == " ".join(texts).split():
            texts = [texts[0], *(f" {sentence.lstrip()}" for sentence in texts[1:])]
    before_s, written = 0.0, ""
    for time, said in zip(times, texts, strict=True):
        start_s, end_s = _span(
            time, what := f"{where}: {said!r:.80} is from {time[0]} to {time[1]}"
        )
        if start_s < before_s:
            raise DataError(f"{what}, and the one before it to {before_s:g}; allowed: one by one")
        written += f"<|{start_s:.3f}|>{said}<|{end_s:.3f}|>"
        before_s = end_s
    return written


def _said(text: str) -> list[str]:
    return [character for character in text if character.isalnum()]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a table with the numbers of their lines."""
    numbered = [(n, line) for n, line in enumerate(lines(path.read_bytes(), str(path)), 1)]
    if path.suffix != ".tsv":
        for number, line in numbered:
            if line.strip():
                yield number, _object(line, f"{path} line {number}")
        return
    if not numbered:
        return
    columns = numbered[0][1].split("\t")
    for number, line in numbered[1:]:
        cells = line.split("\t")
        if len(cells) > len(columns):
            raise DataError(
                f"{path} line {number} has {len(cells)} columns, and the first line "
                f"{len(columns)} ({_shown(columns)}); a tab in a text must go: {line!r}"
            )
        if line.strip():
            yield number, dict(zip(columns, cells, strict=False))


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise DataError(
            f"{where} is {type(found).__name__}: {line:.80}; allowed: an object like "
            '{"audio": "a.wav", "text": "はい"}'
        )
    return found


def _value(row: dict[str, Any], column: str, where: str) -> str | None:
    """The text in a column; None where there is none."""
    value = row.get(column)
    if value is None or isinstance(value, str):
        return value
    raise DataError(
        f"{where}: {column} is {json.dumps(value, ensure_ascii=False):.80} "
        f"({type(value).__name__}); allowed: text in quotes"
    )


def kaldi(folder: Path, names: Kaldi | None) -> list[Recording]:
    """wav.scp ("ID PATH"), text ("ID TEXT") and, if there is one, segments ("ID FILE START END").

    As Kaldi and the seed's tools write them; a row for each id of either side.

    Args:
        folder: where they are.
        names: their own names; None for Kaldi's, of which wav.scp alone must be there.

    Raises:
        DataError: an id stands twice in a list, a file is a command, or a segment is none.
    """
    scp = folder / (names.wav_scp if names else "wav.scp")
    text = folder / (names.text if names else "text")
    segments = folder / "segments" if names is None else names.segments and folder / names.segments
    texts = _listed(text) if names or text.is_file() else {}
    listed = _listed(scp)
    base = _base(scp.parent, listed.values())
    files: dict[str, Path] = {}
    for id_, audio in listed.items():
        if audio.endswith("|"):
            raise DataError(f"{scp}: {id_!r} is a command, not a file: {audio}")
        files[id_] = _file(base, audio)
    spans: dict[str, tuple[str, Span | None]] = {id_: (id_, None) for id_ in files}
    if segments and (names or segments.is_file()):
        spans = {id_: _segment(segments, id_, rest) for id_, rest in _listed(segments).items()}
    found = []
    for id_ in spans.keys() | texts.keys():
        file, span_s = spans.get(id_, (None, None))
        found.append(Recording(id_, files.get(file) if file else None, texts.get(id_), span_s))
    return found


def _segment(path: Path, id_: str, rest: str) -> tuple[str, Span]:
    """The file of a segment, and where it starts and ends in it."""
    file, *times = rest.split() or [""]
    return file, _span(times, f"{path}: {id_!r} has {rest!r}", "a file, and ")


def _span(times: Sequence[Any], found: str, more: str = "") -> Span:
    """Start and end, in order; where they are none, the message is `found` and what is allowed."""
    try:
        start, end = map(float, times)
    except (OverflowError, TypeError, ValueError):
        start = end = 0.0
    if not 0 <= start < end < math.inf:
        raise DataError(f"{found}; allowed: {more}start and end in seconds, in this order")
    return start, end


def _listed(path: Path) -> dict[str, str]:
    return by_id(path.read_bytes(), str(path))


def ids(path: Path, known: Collection[str]) -> set[str]:
    """The ids that a table has, or with which the lines of any other file begin.

    Args:
        path: the list.
        known: the ids that it chooses from.

    Raises:
        DataError: an id is not known, there is none, or as for `table`.
    """
    if path.suffix in TABLES:
        found = {recording.id for recording in table(path)}
    else:
        found = {line.strip(" \t") for line in lines(path.read_bytes(), str(path))} - {""}
        found = {line if line in known else BLANKS.split(line)[0] for line in found}
    if not found:
        raise DataError(f"{path} names no id")
    if unknown := sorted(found.difference(known)):
        raise DataError(
            f"{path} has {len(unknown)} of {len(found)} ids that the corpus has not, such as "
            f"{', '.join(map(repr, unknown[:SHOWN]))}; those of the corpus are like {min(known)!r}"
        )
    return found


def _shown(names: Any) -> str:
    """Names with what cannot be seen in them."""
    return ", ".join(repr(str(name)) for name in names)
