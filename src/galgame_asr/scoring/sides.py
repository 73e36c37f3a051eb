"""References and hypotheses from files, for command compute-wer."""

from pathlib import Path

from galgame_asr.core.paths import TEST_SETS
from galgame_asr.decoding import transcripts
from galgame_asr.messages.errors import DataError
from galgame_asr.text.lines import by_id

SHOWN = 5  # ids named in a message


def read(
    references: Path, hypotheses: Path, corpus: str | None = None
) -> tuple[list[str], list[str]]:
    """The texts of two files of `ID TEXT` lines, in the order of their ids.

    With `corpus` the hypotheses are what stage decode wrote of that corpus's test rows.

    Raises:
        DataError: an id is in one of them alone, or as for `read_lines` and `read_decoded`.
    """
    heard = read_lines(hypotheses) if corpus is None else read_decoded(hypotheses, corpus)
    sides = {references: read_lines(references), hypotheses: heard}
    for path, other in ((references, hypotheses), (hypotheses, references)):
        if alone := sorted(sides[path].keys() - sides[other].keys()):
            shown = ", ".join(map(repr, alone[:SHOWN]))
            raise DataError(f"{len(alone)} ids of {path} are not in {other}: {shown}")
    ids = sorted(sides[references])
    return [sides[references][id_] for id_ in ids], [sides[hypotheses][id_] for id_ in ids]


def read_decoded(path: Path, corpus: str) -> dict[str, str]:
    """What was decoded of a corpus's rows in the test sets, by their ids in the corpus.

    Raises:
        DataError: there is none, or as for `transcripts.read`.
    """
    decoded = transcripts.read(path)
    rows = {key: text for name in TEST_SETS for key, text in decoded.get(name, {}).items()}
    own = {
        key.removeprefix(f"{corpus}/"): transcript.text
        for key, transcript in rows.items()
        if key.startswith(f"{corpus}/")
    }
    if not own:
        corpora = ", ".join(sorted({key.partition("/")[0] for key in rows})) or "none"
        raise DataError(f"{path} has no test row of corpus {corpus}; its corpora: {corpora}")
    return own


def read_lines(path: Path) -> dict[str, str]:
    """Read a file of `ID TEXT` lines; an ID alone has an empty text.

    Only a line feed ends a line, unlike in compute-wer, where U+2028 does too.

    Raises:
        DataError: an id stands on two lines, or the file is missing, a folder or not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return by_id(data, str(path))
