"""The transcripts of a file: which utterance each is of."""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from galgame_asr.baselines.common.transcribe import Run, Sets
from galgame_asr.baselines.transcripts import formats
from galgame_asr.baselines.transcripts.params import TranscriptsFile
from galgame_asr.decoding.transcripts import Transcripts, keys
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import DataError

PROMPT = "none"  # what the report calls it where no prompt is known
SHOWN = 5  # ids named in a message


def transcribe(baseline: TranscriptsFile, sets: Sets, _: Run) -> Mapping[str, Transcripts]:
    """The text of each utterance; see `common.transcribe`. Of tokens nothing is known: 0.

    Raises:
        DataError: the file is missing or damaged, an id stands twice in it or is of no
            utterance or of several, or an utterance is missing and may not be.
    """
    path = Path(baseline.path)
    try:
        lines = formats.READERS[baseline.format](path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    expected = {name: list(keys(rows)) for name, rows in sets.items()}
    known = {key for names in expected.values() for key in names}
    by_id = _whole_ids(lines, known, path)
    missing = {name: [k for k in names if k not in by_id] for name, names in expected.items()}
    if baseline.missing == "fail" and any(missing.values()):
        said = "; ".join(
            f"{len(ids)} of {len(expected[name])} utterances of set {name} are missing: "
            f"{_shown(ids)}"
            for name, ids in missing.items()
            if ids
        )
        raise DataError(f"{path}: {said}. Transcribe them, or set missing: empty")
    return {
        PROMPT: {
            name: {key: Transcript(by_id.get(key, ""), 0, None) for key in names}
            for name, names in expected.items()
        }
    }


def _whole_ids(lines: list[tuple[str, str]], known: Collection[str], path: Path) -> dict[str, str]:
    """Texts by CORPUS/ID."""
    owners: dict[str, list[str]] = {key: [key] for key in known}
    for key in sorted(known):
        own = key.partition("/")[2]
        if own not in known:
            owners.setdefault(own, []).append(key)
    wholes = [(owners.get(id_, []), id_, text) for id_, text in lines]
    times = Counter(found[0] if len(found) == 1 else id_ for found, id_, _ in wholes)
    for what, ids, remedy in (
        ("stand twice", [i for i, n in times.items() if n > 1], "keep one line of each"),
        ("are of no utterance of the sets", [i for f, i, _ in wholes if not f], "take them out"),
        ("are of several corpora", [i for f, i, _ in wholes if len(f) > 1], "write CORPUS/ID"),
    ):
        if ids:
            raise DataError(f"{path}: {len(ids)} ids {what}: {_shown(ids)}; {remedy}")
    return {found[0]: text for found, _, text in wholes}


def _shown(ids: Collection[str]) -> str:
    return ", ".join(sorted(ids)[:SHOWN]) + (", …" if len(ids) > SHOWN else "")
