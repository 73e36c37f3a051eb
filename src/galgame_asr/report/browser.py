"""The utterances that the report page holds, as data for its script."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from galgame_asr.manifests.hashing import unit_hash
from galgame_asr.report.collect import Tables, part_of
from galgame_asr.report.diff import Span, diff
from galgame_asr.report.results import TITLES
from galgame_asr.scoring.scored import CLASSES, FLAGS
from galgame_asr.scoring.summary import fractions

# Utterances of each variant and set: all, or so many of the most errors and so many at random.
WORST, RANDOM = 600, 400
# Utterances of each set with audio: the worst of any variant, and some at random.
WORST_CLIPS, RANDOM_CLIPS = 80, 40
LONGEST_CLIP_S = 30.0

# (set, CORPUS/ID) -> the address of its audio, if it has any.
ReadClip = Callable[[str, str], str | None]


def data(tables: Tables, read_clip: ReadClip) -> dict[str, Any]:
    """What page.js reads; lists, not objects, wherever there are many.

    Args:
        tables: scored utterances of each variant.
        read_clip: gives the audio of an utterance as a data: address.
    """
    return {
        "variants": [variant.name for variant in tables],
        "classes": CLASSES,
        "flags": FLAGS,
        "sets": [found for name in TITLES if (found := _set(name, tables, read_clip)) is not None],
    }


def as_json(value: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element: no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _set(name: str, tables: Tables, read_clip: ReadClip) -> dict[str, Any] | None:
    parts = {variant: part_of(table, name) for variant, table in tables.items()}
    shown = {variant: _shown(part) for variant, part in parts.items() if len(part)}
    if not shown:
        return None
    utterances = pd.concat(shown.values()).drop_duplicates("id").sort_values("id")
    place = {id_: number for number, id_ in enumerate(utterances["id"])}
    with_audio = _with_audio(list(shown.values()))
    return {
        "name": name,
        "title": TITLES[name],
        "utterances": [
            [row["id"], row["corpus"], round(row["duration_s"], 2), row["reference"]]
            for row in utterances.to_dict("records")
        ],
        "clips": {
            place[id_]: clip for id_ in with_audio if (clip := read_clip(name, id_)) is not None
        },
        "variants": [_variant(parts[v], shown.get(v), place) for v in tables],
    }


def _variant(
    part: pd.DataFrame, shown: pd.DataFrame | None, place: Mapping[str, int]
) -> dict[str, Any]:
    if shown is None:
        return {"total": 0, "rows": []}
    return {"total": len(part), "rows": [_row(row, place) for row in shown.to_dict("records")]}


def _row(row: Mapping[Any, Any], place: Mapping[str, int]) -> list[Any]:
    flags = [number for number, name in enumerate(FLAGS) if row[f"is_{name}"]]
    classes = [number for number, name in enumerate(CLASSES) if row[f"edits_{name}"]]
    return [
        place[row["id"]],
        row["hypothesis"],
        [_compact(span) for span in diff(row["truth"], row["heard"])],
        row["substitutions"] + row["deletions"] + row["insertions"],
        row["characters"],
        _per_token(row["log_prob"], row["tokens"]),
        flags,
        classes,
    ]


def _per_token(log_prob: float, tokens: int) -> float | None:
    """Of one token on average, so that long and short utterances can be compared."""
    return None if np.isnan(log_prob) else round(log_prob / max(tokens, 1), 3)


def _compact(span: Span) -> str | list[str]:
    """Equal text as it is, an error as [reference, transcript]."""
    return span.truth if span.truth == span.heard else [span.truth, span.heard]


def _shown(part: pd.DataFrame) -> pd.DataFrame:
    """The rows to hold: the worst, then others by chance, the same ones of every variant."""
    worst = _in_turn(worst_first(part))[:WORST]
    rest = part[~part["id"].isin(worst["id"])]
    others = rest.sort_values("id", key=lambda ids: ids.map(lambda id_: unit_hash(id_, "report")))
    return pd.concat([worst, _in_turn(others)[:RANDOM]])


def _in_turn(rows: pd.DataFrame) -> pd.DataFrame:
    """The first row of each corpus, then the second of each: none vanishes among a larger one's."""
    return rows.iloc[np.argsort(rows.groupby("corpus").cumcount(), kind="stable")]


def worst_first(part: pd.DataFrame) -> pd.DataFrame:
    """Sorted by errors, then by CER, then by id."""
    errors, characters = fractions(part)["cer"]
    order = np.lexsort((part["id"], -errors / np.maximum(characters, 1), -errors))
    return part.iloc[order].reset_index(drop=True)


def _with_audio(shown: Sequence[pd.DataFrame]) -> list[str]:
    """Ids of the utterances that can be played: first each variant's worst, then its second."""
    short = [part[part["duration_s"] <= LONGEST_CLIP_S]["id"].tolist() for part in shown]
    ranked = [ids[rank] for rank in range(WORST_CLIPS) for ids in short if rank < len(ids)]
    worst = list(dict.fromkeys(ranked))[:WORST_CLIPS]
    others = sorted(
        {id_ for ids in short for id_ in ids} - set(worst),
        key=lambda id_: unit_hash(id_, "report"),
    )
    return sorted([*worst, *others[:RANDOM_CLIPS]])


def suspects(tables: Tables, name: str, most: int) -> list[tuple[str, str, str, int]]:
    """Utterances whose label may be wrong: id, reference, the last variant's text, how often.

    Those that most variants point to come first.
    """
    found: dict[str, tuple[str, str, int]] = {}
    for table in tables.values():
        part = part_of(table, name)
        for row in part[part["is_suspect_label"]].to_dict("records"):
            times = found.get(row["id"], ("", "", 0))[2] + 1
            found[row["id"]] = (row["reference"], row["hypothesis"], times)
    order = sorted(found.items(), key=lambda item: (-item[1][2], item[0]))
    return [(id_, *values) for id_, values in order[:most]]
