"""Files of ids and texts as other programs write them: pairs in the order of the file."""

import json
import re
from collections.abc import Callable

from galgame_asr.messages.errors import DataError
from galgame_asr.text.lines import BLANKS, lines

Pairs = list[tuple[str, str]]
# compute-wer parts tokens by blanks; between two of ASCII they may be those of the text.
BETWEEN_TOKENS = re.compile(r"(?<![!-~]) +| +(?![!-~])")
HYPOTHESIS = ("hyp:", "rec:")  # rec: in versions before 0.2


def tsv(data: bytes, name: str) -> Pairs:
    """Columns id and text, or the two that a first line names so.

    Raises:
        DataError: a line lacks a column, or as for `lines`.
    """
    rows = [(number, line.split("\t")) for number, line in enumerate(lines(data, name), 1) if line]
    place = {"id": 0, "text": 1}
    if rows and {"id", "text"} <= set(rows[0][1]):
        head = rows.pop(0)[1]
        place = {column: head.index(column) for column in place}
    for number, row in rows:
        if len(row) <= max(place.values()):
            raise DataError(
                f"{name}:{number} has {len(row)} columns; id and text are parted by a tab"
            )
    return [(row[place["id"]], row[place["text"]]) for _, row in rows]


def jsonl(data: bytes, name: str) -> Pairs:
    """An object with `id` and `text` per line; other keys are left alone.

    Raises:
        DataError: a line is no such object, or as for `lines`.
    """
    found = []
    for number, line in enumerate(lines(data, name), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            id_, text = row["id"], row["text"]
            if not isinstance(id_, str) or not isinstance(text, str):
                raise TypeError("id and text must be strings")
            f"{id_}{text}".encode()  # half of a character cannot be written
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise DataError(f"{name}:{number} is no object with id and text: {error!r}") from None
        found.append((id_, text))
    return found


def kaldi(data: bytes, name: str) -> Pairs:
    """Lines `ID TEXT`; an ID alone has an empty text."""
    found = []
    for line in lines(data, name):
        if line.strip():
            id_, *rest = BLANKS.split(line.strip(" \t"), maxsplit=1)
            found.append((id_, rest[0] if rest else ""))
    return found


def compute_wer(data: bytes, name: str) -> Pairs:
    """Of what compute-wer prints of each utterance, the hypothesis without its alignment.

    Raises:
        DataError: a hypothesis has no utterance before it, an utterance none, or the file
            has neither.
    """
    found: Pairs = []
    waiting: str | None = None
    for number, line in enumerate(lines(data, name), 1):
        head, _, rest = line.partition(" ")
        if head == "utt:":
            if waiting is not None:
                raise DataError(f"{name}:{number}: utterance {waiting} above has no hyp: line")
            waiting = rest.strip()
        elif head in HYPOTHESIS:
            if waiting is None:
                raise DataError(f"{name}:{number} is a hypothesis without a line utt: before it")
            found.append((waiting, BETWEEN_TOKENS.sub("", rest)))
            waiting = None
    if waiting is not None or not found:
        raise DataError(f"{name} is not what compute-wer prints: lines utt:, ref: and hyp:")
    return found


READERS: dict[str, Callable[[bytes, str], Pairs]] = {
    "tsv": tsv,
    "jsonl": jsonl,
    "kaldi": kaldi,
    "compute_wer": compute_wer,
}
