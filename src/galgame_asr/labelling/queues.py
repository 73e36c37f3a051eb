"""The utterances that a person is to listen to, in which order, and what a model says of them."""

import heapq
import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from galgame_asr.core import utterances
from galgame_asr.core.paths import DECODED_SETS, MANIFEST, SCORED, SPLIT
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.manifests.corrections import DRAFT, PSEUDO
from galgame_asr.manifests.hashing import unit_hash
from galgame_asr.messages.errors import DataError
from galgame_asr.report.browser import worst_first
from galgame_asr.scoring import scored
from galgame_asr.scoring.summary import fractions

BY_MODELS = {DRAFT, PSEUDO}
AUDIT = Path("data/audit")
AUDITED = ["id", "proposal", "flags"]  # columns of an audit, and those that it may have
HEARD = ["hypotheses", "kana_cer"]
MOST = 20_000  # utterances of a queue: more than anyone listens to
SHOWN = 5  # ids named in a message


@dataclass(frozen=True, slots=True)
class Item:
    """One utterance of a queue."""

    id: str  # in its corpus
    label: str  # as the manifest has it
    is_own: bool  # of the corpus itself, and not by an earlier correction
    proposal: str | None  # another label, by a model
    tags: tuple[str, ...]  # why it is in the queue
    note: str  # the same in figures, if any
    duration_s: float
    row: Mapping[Hashable, Any]  # of the manifest, to read its audio by


def load(queue: str, corpus: str, curriculum: Curriculum) -> list[Item]:
    """The first utterances of a queue, MOST at most.

    Args:
        queue: `audit`, what an audit flagged or has a proposal for; `random`, training rows in
            an order of their own; `errors`, of the decoded sets what the newest variant got
            wrong, the worst first; `drafts`, what models wrote of recordings and nobody has
            accepted yet, as it was said.
        corpus: one of params.
        curriculum: the variants.

    Raises:
        DataError: a file is missing, or names utterances that the manifest has not.
    """
    if queue == "audit":
        return _items(corpus, _audit(corpus))
    if queue == "random":
        return _items(corpus, _random(corpus))
    if queue == "drafts":
        return _items(corpus, _drafts(corpus))
    return _items(corpus, _errors(corpus, curriculum))


# By id, in the order of the queue: the proposal, the tags and the note.
_Found = Mapping[str, tuple[str | None, Sequence[str], str]]


def _audit(corpus: str) -> _Found:
    """What was flagged or has a proposal; proposals first, and of each the furthest off."""
    path = AUDIT / f"{corpus}.parquet"
    again = f"`dvc repro audit@{corpus}` makes it, where params.yaml has audit.corpora.{corpus}"
    wanted = pc.field("proposal").is_valid() | (pc.list_value_length(pc.field("flags")) > 0)
    ordered = []
    for row in _read(path, AUDITED, again, HEARD, wanted).to_dict("records"):
        agreed = isinstance(row["proposal"], str)
        # Without an agreed text, what the first model hears.
        heard = row["proposal"] if agreed else next(iter(row.get("hypotheses", ())), "")
        off = min(row.get("kana_cer", ()), default=0.0)
        note = f"{off:.0%} of the kana differ" if "kana_cer" in row else ""
        tags = [*row["flags"], *["agreed"] * agreed]
        ordered.append((not agreed, -off, row["id"], (heard or None, tags, note)))
    return {id_: found for _, _, id_, found in sorted(ordered)[:MOST]}


def _random(corpus: str) -> _Found:
    """Training rows by a hash of their ids, which more data does not reorder."""
    rows = _read(SPLIT / "train.parquet", ["id", "corpus"], "`dvc repro split` makes it")
    ids = rows["id"][rows["corpus"] == corpus]
    if ids.empty:
        raise DataError(f"{SPLIT / 'train.parquet'} has no row of corpus {corpus}")
    first = heapq.nsmallest(MOST, ids, key=lambda id_: unit_hash(id_, "label"))
    return dict.fromkeys(first, (None, (), ""))


def _drafts(corpus: str) -> _Found:
    """The rows of the manifest with a flag that only a decision takes away, in their order."""
    path, again = MANIFEST / f"{corpus}.parquet", f"`dvc repro manifest@{corpus}` makes it"
    flagged = _read(
        path, ["id", "flags"], again, wanted=pc.list_value_length(pc.field("flags")) > 0
    )
    found = {
        id_: (None, tuple(flags), "")
        for id_, flags in zip(flagged["id"], flagged["flags"], strict=True)
        if not BY_MODELS.isdisjoint(flags)
    }
    if not found:
        raise DataError(f"{path} has no draft: people wrote all of it, or decided about it")
    return dict(itertools.islice(found.items(), MOST))


def _errors(corpus: str, curriculum: Curriculum) -> _Found:
    """What the newest variant got wrong in the decoded sets, by errors and then by CER."""
    checkpoint = curriculum.newest()
    prompt = curriculum.prompts_of(checkpoint)[0]
    path = SCORED / f"{checkpoint}-{prompt}.parquet"
    rows = scored.read(path)
    rows = rows[(rows["corpus"] == corpus) & rows["set"].isin(DECODED_SETS)]
    if rows.empty:
        raise DataError(f"{path} has no utterance of corpus {corpus}: it trains alone")
    rows = worst_first(rows)
    errors, characters = fractions(rows)["cer"]
    rows = rows.assign(errors=errors, of=characters)[errors > 0]
    # The sample of dev is in no other set, and neither is an utterance in two.
    return {
        row["id"].removeprefix(f"{corpus}/"): (
            row["hypothesis"],
            (row["set"], *(name for name in scored.FLAGS if row[f"is_{name}"])),
            f"{row['errors']} of {row['of']} wrong",
        )
        for row in rows[:MOST].to_dict("records")
    }


def _items(corpus: str, found: _Found) -> list[Item]:
    """The utterances with their rows of the manifest, which has the labels.

    Raises:
        DataError: the manifest is missing, or has not all of them.
    """
    path = MANIFEST / f"{corpus}.parquet"
    # Millions of rows, of which a queue has few.
    rows = _read(
        path, utterances.SCHEMA.names, f"`dvc repro manifest@{corpus}` makes it", ["label"],
        wanted=pc.field("id").isin(pa.array(found, pa.string())),
    )  # fmt: skip
    by_id = {row["id"]: row for row in rows.to_dict("records")}
    if unknown := [id_ for id_ in found if id_ not in by_id]:
        raise DataError(
            f"{path} has not {len(unknown)} utterances of the queue, such as "
            f"{', '.join(map(repr, unknown[:SHOWN]))}; `dvc repro` brings both together"
        )
    return [
        Item(
            id_, row["text"], not isinstance(row.get("label"), str), proposal, tuple(tags), note,
            row["duration_s"], row,
        )
        for id_, (proposal, tags, note) in found.items()
        for row in [by_id[id_]]
    ]  # fmt: skip


def _read(
    path: Path,
    columns: list[str],
    again: str,
    optional: Sequence[str] = (),
    wanted: pc.Expression | None = None,
) -> pd.DataFrame:
    """Some columns of a table, of which others may be there or not; of all rows or those wanted.

    Raises:
        DataError: the file is missing, is no parquet or lacks a column.
    """
    try:
        known = pq.read_schema(path).names
        if lacking := [name for name in columns if name not in known]:
            raise DataError(f"{path} has no column {lacking[0]}, but {known}; {again}")
        columns = columns + [name for name in optional if name in known]
        rows: pd.DataFrame = pq.read_table(path, columns=columns, filters=wanted).to_pandas()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {again}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} is no parquet file: {error}") from None
    return rows
