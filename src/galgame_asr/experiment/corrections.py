"""Decisions about labels, held against the manifests, and those of two people joined."""

from collections.abc import Iterator, Sequence
from typing import Literal

from galgame_asr.core import utterances
from galgame_asr.core.params import load
from galgame_asr.core.paths import MANIFEST, RAW
from galgame_asr.manifests.corrections import Correction, histories, latest, path_of, problem, read
from galgame_asr.manifests.index import Corpus
from galgame_asr.manifests.params import ManifestParams
from galgame_asr.messages.errors import DataError

SHOWN = 20  # ids named in a message


def problems(corpus: str) -> Iterator[str]:
    """What is wrong with the decisions about a corpus, by its manifest; no stage runs.

    Raises:
        DataError: the file cannot be read, or there is no manifest.
    """
    path = path_of(corpus)
    decided = histories(read(path))
    if not decided:
        return
    rows = utterances.read(MANIFEST / f"{corpus}.parquet")
    rows = rows[rows["id"].isin(decided)]
    labels = rows["label"].fillna(rows["text"]) if "label" in rows else rows["text"]
    checks = Corpus(corpus, RAW / corpus, load(ManifestParams, "manifest"))

    def text_of(text: str) -> str:
        return checks.text(text.encode())[0]

    for id_, label in zip(rows["id"], labels, strict=True):
        if wrong := problem(decided[id_], label, text_of, path):
            yield wrong
    for id_ in decided.keys() - set(rows["id"]):
        yield problem(decided[id_], None, text_of, path)


def merge(
    ours: Sequence[Correction],
    theirs: Sequence[Correction],
    prefer: Literal["ours", "theirs"] | None = None,
) -> list[Correction]:
    """The lines of two files, ours first; of each id the one that shall count is the last.

    Where one file has the line that counts in the other, it knew of it, and its own counts.

    Args:
        ours: the file that theirs is taken into.
        theirs: another person's, of the same corpus.
        prefer: whose decision counts where neither knew of the other's and they differ.

    Raises:
        DataError: some do, and `prefer` is not given; the message lists them.
    """
    mine, others = latest(ours), latest(theirs)
    had, came = set(ours), set(theirs)
    counts, conflicts = mine | others, []
    for id_ in mine.keys() & others.keys():
        own, other = mine[id_], others[id_]
        known, knew = other in had, own in came
        if known == knew and (own.what, own.text) != (other.what, other.text):
            conflicts.append((own, other))
            known = prefer == "ours"
        if known:
            counts[id_] = own
    if conflicts and not prefer:
        raise DataError(_conflicts(conflicts))
    merged = [*ours, *(one for one in theirs if one not in had)]
    last = latest(merged)
    return [*merged, *(one for id_, one in counts.items() if one != last[id_])]


def said(one: Correction) -> str:
    """What was decided, for people."""
    what = {"text": f"{one.was!r} -> {one.text!r}", "drop": "drop", "keep": "keep"}[one.what]
    return what + (f" ({one.why})" if one.why else "")


def _conflicts(found: list[tuple[Correction, Correction]]) -> str:
    shown = "\n".join(
        f"  {own.id}\n    ours:   {said(own)}, {own.by} {own.when}, line {own.line}\n"
        f"    theirs: {said(other)}, {other.by} {other.when}, line {other.line}"
        for own, other in sorted(found, key=lambda pair: pair[0].id)[:SHOWN]
    )
    more = f"\n  and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return (
        f"{len(found)} utterances were decided about in two ways:\n{shown}{more}\n"
        "say --ours or --theirs, which holds for all of them; nothing was merged"
    )
