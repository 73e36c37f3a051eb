"""Which utterance belongs to which set, and the gate that no utterance leaks between them."""

from dataclasses import asdict
from itertools import combinations

import pandas as pd

from galgame_asr.errors import ConfigError, DataError
from galgame_asr.hashing import unit_hash
from galgame_asr.params.manifest import FlagSeverity
from galgame_asr.params.split import SplitParams
from galgame_asr.paths import SETS
from galgame_asr.text.group import group_text

SHOWN = 10  # leaking pairs named in a message


def usable(rows: pd.DataFrame, severity: FlagSeverity) -> "pd.Series[bool]":
    """Which rows have no flag that keeps them out."""
    excluding = {flag for flag, effect in asdict(severity).items() if effect != "warn"}
    return rows["flags"].map(excluding.isdisjoint).astype(bool)


def split(rows: pd.DataFrame, params: SplitParams) -> dict[str, pd.DataFrame]:
    """Split usable utterances into train, dev, test and ood (the out-of-domain test set).

    The hash of an utterance's group decides: its text when long enough, else its
    text and duration. Rows of a set are sorted by corpus and id.

    Raises:
        ConfigError: out_of_domain names an unknown corpus.
        DataError: a set that cannot be empty is, or two sets share an utterance.
    """
    unknown = set(params.out_of_domain) - set(rows["corpus"])
    if unknown:
        raise ConfigError(
            f"split.out_of_domain names {', '.join(sorted(unknown))}; "
            f"the corpora are {', '.join(sorted(rows['corpus'].unique()))}"
        )
    rows = rows.sort_values(["corpus", "id"], ignore_index=True)
    place = _group_keys(rows, params).map(lambda key: unit_hash(key, params.salt))
    is_test = place < params.test
    is_dev = ~is_test & (place < params.test + params.dev)
    is_ood = rows["corpus"].isin(params.out_of_domain)
    sets = {
        "train": rows[~is_test & ~is_dev],
        "dev": rows[is_dev],
        "test": _limit(rows[is_test & ~is_ood], params),
        "ood": _limit(rows[is_test & is_ood], params),
    }
    for name in ("train", "dev", "test"):
        if sets[name].empty:
            raise DataError(f"the {name} set is empty; there are {len(rows)} usable utterances")
    refuse_leaks(sets, params)
    return {name: part.reset_index(drop=True) for name, part in sets.items()}


def _group_keys(rows: pd.DataFrame, params: SplitParams) -> "pd.Series[str]":
    """What an utterance is grouped by: its text, and when that is short its duration too."""
    texts = rows["text"].map(group_text)
    return texts.where(texts.str.len() >= params.group_min_letters, _timed(texts, rows))


def _timed(texts: "pd.Series[str]", rows: pd.DataFrame) -> "pd.Series[str]":
    # astype: an empty column maps to another type.
    return texts + "\0" + rows["duration_s"].map("{:.2f}".format).astype(str)


def _limit(rows: pd.DataFrame, params: SplitParams) -> pd.DataFrame:
    """The `test_limit` rows whose ids hash lowest, so that a larger limit keeps them all."""
    if params.test_limit is None:
        return rows
    order = rows["id"].map(lambda id_: unit_hash(id_, f"{params.salt} limit")).sort_values()
    return rows.loc[order.index[: params.test_limit].sort_values()]


def refuse_leaks(sets: dict[str, pd.DataFrame], params: SplitParams) -> None:
    """Make sure that no two of train, dev and the test sets share an utterance.

    Shared means the same text (when long enough to be a group), the same audio
    bytes, or the same text and duration.

    Raises:
        DataError: they do; the message names the rows.
    """
    keyed = {name: _leak_keys(rows, params) for name, rows in sets.items()}
    leaks = []
    for first, second in combinations(SETS, 2):
        if {first, second} == {"test", "ood"}:
            continue  # both only test
        for key in ("text", "audio", "text and duration"):
            both = keyed[first].merge(keyed[second], on=key, suffixes=("", "_other"))
            both = both[both[key].notna()]
            leaks += [
                f"  {row['corpus']} {row['id']} in {first} and {row['corpus_other']} "
                f"{row['id_other']} in {second}: same {key}"
                for _, row in both.iterrows()
            ]
    if leaks:
        shown = "\n".join(leaks[:SHOWN])
        raise DataError(
            f"{len(leaks)} leaks between the sets:\n{shown}\n"
            "remove one row of each pair from its corpus"
        )


def _leak_keys(rows: pd.DataFrame, params: SplitParams) -> pd.DataFrame:
    text = rows["text"].map(group_text).astype(str)
    long_enough = text.str.len() >= params.group_min_letters
    return pd.DataFrame(
        {
            "corpus": rows["corpus"],
            "id": rows["id"],
            "text": text.where(long_enough),
            "audio": rows["audio_hash"],
            "text and duration": _timed(text, rows),
        }
    )
