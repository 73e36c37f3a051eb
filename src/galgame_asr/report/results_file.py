"""A results file: what one person can hand to another of a run, without a text or an id.

`galgame-asr report --export FILE` writes it and `--compare FILE` reads it; docs/scores.md has its
schema. It holds counts per utterance, from which all figures and paired decisions follow.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from galgame_asr.core import utterances
from galgame_asr.core.files import write_text
from galgame_asr.core.params import section
from galgame_asr.core.paths import DECODED_SETS, SPLIT, TEST_SETS
from galgame_asr.decoding import transcripts
from galgame_asr.experiment.revision import State
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.report.collect import Tables, part_of, refuse_other_utterances
from galgame_asr.report.results import Variant
from galgame_asr.scoring.params import ScoreParams
from galgame_asr.scoring.scored import CLASSES, COUNTS, FLAGS

FORMAT = "galgame-asr results"
VERSION = 1  # raised with every change of the keys or of what they mean
# Of each utterance, as data/scored names them; a flag is 0 or 1.
COLUMNS = (*COUNTS, *(f"edits_{name}" for name in CLASSES), *(f"is_{name}" for name in FLAGS))
KEY_DIGITS = 32
SHOWN = 5  # settings named in a message

Count = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, StringConstraints(pattern=r"^[\w/-]+$", max_length=300)]
Key = Annotated[str, StringConstraints(pattern=rf"^[0-9a-f]{{{KEY_DIGITS}}}$")]
SetName = Literal["dev_sample", "test", "ood"]


@section
class SetContent:
    """One set: the table that it is, and its utterances."""

    md5: str  # of data/split/SET.parquet, as in dvc.lock
    utterances: list[Key]  # sorted


@section
class VariantCounts:
    """One variant: per set and column, a number for each utterance of the set."""

    checkpoint: Name
    prompt: Name
    counts: dict[SetName, dict[str, list[Count]]]


@section
class ResultsFile:
    """The whole file."""

    format: Literal["galgame-asr results"]
    version: Literal[1]
    commit: str | None  # None: no git repository
    changed: bool  # what git tracks differs from the commit
    score: dict[str, Any]  # section `score` of params.yaml, as far as counts depend on it
    sets: dict[SetName, SetContent]
    variants: list[VariantCounts]


def keys(table: pd.DataFrame, split: Path = SPLIT) -> pd.DataFrame:
    """What names each scored utterance to everyone who has it: columns set, id, truth and key.

    The key is a hash of the audio's hash and of the normalised reference: whoever has the same
    audio with the same reference has the same key, whatever corpus and id are called there. As
    audio cannot be guessed, no list of likely ids or texts leads from a key back to them. A
    number tells rows apart that are the same in both.

    Args:
        table: of one variant.
        split: the folder of the sets' tables, which have the audio's hashes.

    Raises:
        DataError: a table of a set is damaged, or lacks a scored utterance or its audio's hash.
    """
    parts = []
    for name in DECODED_SETS:
        part = part_of(table, name)[["set", "id", "truth"]]
        if part.empty:
            continue
        file = split / f"{name}.parquet"
        rows = utterances.read(file)
        audio = part["id"].map(dict(zip(transcripts.keys(rows), rows["audio_hash"], strict=True)))
        if unknown := int((audio.fillna("") == "").sum()):
            raise DataError(
                f"{file} has no audio hash of {unknown} of {len(part)} scored utterances; "
                "`dvc repro` scores what it has"
            )
        whole = audio + "\0" + part["truth"]
        whole += "\0" + part.groupby(whole).cumcount().astype(str)
        parts.append(part.assign(key=whole.map(_hash)))
    if not parts:
        raise DataError("no utterance was scored, so there is nothing to hand on or to compare")
    return pd.concat(parts, ignore_index=True)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def write(path: Path, tables: Tables, params: ScoreParams, state: State) -> dict[str, int]:
    """Write what can be handed on of scored utterances.

    Args:
        path: the file.
        tables: of each variant of the workspace.
        params: what they were scored by.
        state: of the repository.

    Returns:
        utterances of each set.

    Raises:
        DataError: as for `keys`; the variants have other utterances.
    """
    for name in DECODED_SETS:
        refuse_other_utterances(name, {v: part_of(table, name) for v, table in tables.items()})
    named = keys(next(iter(tables.values())))
    order = {str(n): part.sort_values("key") for n, part in named.groupby("set", sort=False)}
    content = {
        "format": FORMAT,
        "version": VERSION,
        "commit": state.commit,
        "changed": not state.clean,
        "score": settings(params),
        "sets": {
            name: {"md5": _md5(SPLIT / f"{name}.parquet"), "utterances": part["key"].tolist()}
            for name, part in order.items()
        },
        "variants": [
            {
                "checkpoint": variant.checkpoint,
                "prompt": variant.prompt,
                "counts": {
                    name: _counts(part_of(table, name).set_index("id").loc[part["id"]])
                    for name, part in order.items()
                },
            }
            for variant, table in tables.items()
        ],
    }
    write_text(path, json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n")
    return {name: len(part) for name, part in order.items()}


def _counts(rows: pd.DataFrame) -> dict[str, list[int]]:
    return {name: rows[name].astype(int).tolist() for name in COLUMNS}


def settings(params: ScoreParams) -> dict[str, Any]:
    """What counts depend on."""
    return {"normalise": asdict(params.normalise), "dictionary": params.dictionary}


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def read(path: Path, params: ScoreParams) -> ResultsFile:
    """Read a results file.

    Raises:
        ConfigError: it has another version, or was scored by other settings.
        DataError: it is missing or damaged.
    """
    try:
        data = path.read_bytes()
        head = json.loads(data)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no results file: {error}") from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise DataError(f"{path} is no results file; `galgame-asr report --export FILE` makes one")
    if head.get("version") != VERSION:
        raise ConfigError(
            f"{path} has version {head.get('version')!r}, and this galgame-asr reads version "
            f"{VERSION}: export it by the same galgame-asr"
        )
    try:
        found = TypeAdapter(ResultsFile).validate_json(data)
    except ValidationError as invalid:
        first, *others = invalid.errors(include_url=False)
        where = ".".join(map(str, first["loc"]))
        more = f", and {len(others)} more faults" if others else ""
        raise DataError(f"{path} is damaged: {where}: {first['msg']}{more}") from None
    if wrong := differences(found.score, settings(params), "there"):
        raise ConfigError(f"{path} was scored by other settings: {wrong}. Score both by the same")
    _refuse_other_lengths(path, found)
    return found


def differences(theirs: Any, ours: Any, there: str) -> str:
    """Which settings of section score differ, by name, some of many; counts depend on them all."""
    first, second = _flat(theirs, "score"), _flat(ours, "score")
    others = [
        f"{name} is {first.get(name)!r} {there} and {second.get(name)!r} here"
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    ]
    return "; ".join(others[:SHOWN])


def _flat(value: Any, name: str) -> dict[str, Any]:
    """Nested settings by their dotted names."""
    if not isinstance(value, dict):
        return {name: value}
    return {
        key: found
        for inner, below in value.items()
        for key, found in _flat(below, f"{name}.{inner}").items()
    }


def _refuse_other_lengths(path: Path, found: ResultsFile) -> None:
    """What the types do not say: each key once, each variant once, a number for each utterance."""
    for name, content in found.sets.items():
        if len(set(content.utterances)) < len(content.utterances):
            raise DataError(f"{path} is damaged: set {name} has an utterance twice")
    names = [(variant.checkpoint, variant.prompt) for variant in found.variants]
    if len(set(names)) < len(names):
        raise DataError(f"{path} is damaged: it has a variant twice")
    lengths = {name: len(content.utterances) for name, content in found.sets.items()}
    for variant in found.variants:
        where = f"{path} is damaged: variant {variant.checkpoint}-{variant.prompt}"
        if variant.counts.keys() != lengths.keys():
            raise DataError(f"{where} has sets {list(variant.counts)} of {list(lengths)}")
        for name, columns in variant.counts.items():
            if columns.keys() != set(COLUMNS):
                wrong = sorted(columns.keys() ^ set(COLUMNS))
                raise DataError(f"{where}, set {name}: columns {wrong} are missing or unknown")
            if any(len(column) != lengths[name] for column in columns.values()):
                raise DataError(f"{where}, set {name} has not {lengths[name]} numbers per column")


def described(found: ResultsFile) -> str:
    """Where results come from: the commit, and which of the sets are the same tables as here."""
    data = []
    for name, content in found.sets.items():
        file = SPLIT / f"{name}.parquet"
        same = file.is_file() and _md5(file) == content.md5
        data.append(f"{'the same' if same else 'another'} {name}")
    changes = ", with changes" if found.commit and found.changed else ""
    return f"commit {found.commit or 'unknown'}{changes}; {', '.join(data)}"


def tables(path: Path, found: ResultsFile, own: pd.DataFrame) -> dict[Variant, pd.DataFrame]:
    """The counts of each variant as a table: COLUMNS, set, id and truth.

    Utterances that are here too have our ids and references, others their key and none. The
    variants are called by the file's name.

    Args:
        path: the file, for messages too.
        found: what it holds.
        own: what `keys` gives of the workspace.

    Raises:
        DataError: no utterance of a test set is here too, or one has a reference of another length.
    """
    here = own.set_index("key")
    frames = {name: _named(name, content.utterances, here) for name, content in found.sets.items()}
    if not any(frames[name]["truth"].notna().any() for name in TEST_SETS if name in frames):
        raise DataError(
            f"{path} has no utterance of the test sets here: none has the same audio with the same "
            "reference"
        )
    for variant in found.variants:
        for name, frame in frames.items():
            shared = frame["truth"].notna()
            counted = np.array(variant.counts[name]["characters"])[shared]
            if wrong := int((frame["truth"][shared].str.len() != counted).sum()):
                raise DataError(
                    f"{path} is damaged: {wrong} utterances of {name} have other numbers of "
                    "characters than the same ones here"
                )
    return {
        Variant(variant.checkpoint, variant.prompt, path.stem): pd.concat(
            [
                frame.assign(**{c: np.array(variant.counts[set_][c], np.int64) for c in COLUMNS})
                for set_, frame in frames.items()
            ],
            ignore_index=True,
        )
        for variant in found.variants
    }


def _named(name: str, keys_: list[str], own: pd.DataFrame) -> pd.DataFrame:
    """The utterances of a set with ids and references, as far as they are known here."""
    here = own[own["set"] == name].reindex(keys_)
    ids = here["id"].fillna(pd.Series(keys_, index=here.index, dtype=object))
    return pd.DataFrame(
        {"set": name, "id": ids.to_numpy(object), "truth": here["truth"].to_numpy(object)}
    )
