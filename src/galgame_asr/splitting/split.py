"""Which utterance belongs to which set, and the gate that no utterance leaks between them."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import pandas as pd

from galgame_asr.core.params import hint
from galgame_asr.core.paths import DEV_SAMPLE, NOT_SPEECH, SETS, TEST_SETS
from galgame_asr.core.reader import ShardReader
from galgame_asr.manifests.checks import signal
from galgame_asr.manifests.corrections import IN_NO_SET
from galgame_asr.manifests.group import group_text
from galgame_asr.manifests.hashing import unit_hash
from galgame_asr.manifests.params import FlagSeverity, SignalParams
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.splitting.exclusions import excluded
from galgame_asr.splitting.params import SplitParams

LEFT_OUT = "left_out"  # the table of rows that are in no set
# Standard deviation of the difference that two variants have on one utterance, as a share of the
# mean length: 0.10 in the default's test set, 0.13 in 112 sentences that two Whispers transcribed.
SPREAD = 0.12
# Standard errors at which four of five sets show a difference, as in scoring/confidence.py.
SHOWS = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
SHOWN = 10  # pairs named in a message
SHOWN_FAILED = 3  # rows
SHOWN_GROUPS = 30  # named in a message


# Kinds of corpora of which `fetch` takes the first shards alone where there is a limit.
IN_SHARDS = ("galgame", "reazonspeech")


@dataclass(frozen=True)
class Limit:
    """How much of a corpus is for training."""

    of: int | float  # utterances, or a share
    in_shards: bool  # the first come first, and a share is taken of them already


def no_groups(rows: pd.DataFrame) -> "pd.Series[str]":
    """No row has one."""
    return pd.Series(None, rows.index, dtype=object)


@dataclass(frozen=True)
class Checks:
    """What is known of rows, what leaves them out, how the signal of dev and test is checked."""

    excluded: Mapping[str, Mapping[str, str]]  # by corpus, see `exclusions.read`
    limits: Mapping[str, Limit]  # by corpus that has one
    severities: Mapping[str, FlagSeverity]  # by corpus: what its flags do
    signal: SignalParams
    reader: ShardReader
    groups: Callable[[pd.DataFrame], "pd.Series[str]"] = no_groups  # the name of each row's


def split(
    rows: pd.DataFrame, params: SplitParams, checks: Checks
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Put every row into train, dev, test, ood (the out-of-domain test set) or left_out.

    dev_sample has some of the rows of dev again.

    Rows of a table are sorted by corpus and id. Those in left_out have the reason
    among their flags: `dropped`, `draft`, `excluded`, a flag that is not `warn`, `leak`, `limit` or
    `test_limit`; or `not_speech` of those that could be used if they were.

    A row whose text was corrected stays in the set of the label that its corpus has, and leaks
    are looked for in the corrected text.

    Returns:
        the tables by name, and counts of them for metrics/split.json.

    Raises:
        ConfigError: out_of_domain or exceptions name an unknown corpus, hold_out an unknown group.
        DataError: a set that cannot be empty is, a test set has too few rows of a corpus, two
            sets share an utterance, a dev or test row has a flag of severity `fail`, or an
            excluded one is not there.
    """
    rows = rows.sort_values(["corpus", "id"], ignore_index=True)
    keys = _keys(rows, params)
    as_it_was = keys
    if "label" in rows:
        # Nothing is moved where the corpus had no words: such a row was in no set.
        had_words = rows["label"].fillna("").map(group_text) != ""
        as_it_was = _keys(rows.assign(text=rows["label"].where(had_words, rows["text"])), params)
    placed = place(rows, as_it_was, params, checks.groups(rows))
    placed = placed.mask(rows["upstream_set"] == NOT_SPEECH, NOT_SPEECH)  # whatever its group
    placed = placed.where(usable(rows, checks.severities), LEFT_OUT)
    placed = _leave_out(rows, placed, excluded(rows, checks.excluded), "excluded")
    # Before the checks, which need not know rows that are in no set.
    for name in TEST_SETS:
        kept = limited(rows["id"][placed == name], f"{params.salt} limit", params.test_limit)
        beyond = ~kept.reindex(rows.index, fill_value=True)
        placed = _leave_out(rows, placed, beyond, "test_limit")
    for corpus, limit in checks.limits.items():
        own = rows[(rows["corpus"] == corpus) & (placed == "train")]
        beyond = ~within(own, limit, params.salt).reindex(rows.index, fill_value=True)
        placed = _leave_out(rows, placed, beyond, "limit")
    held = placed.isin((*SETS[1:], NOT_SPEECH))
    found = signal.check_rows(rows[held], checks.reader, checks.signal)
    rows.loc[held, "flags"] = pd.Series(found, index=rows.index[held], dtype=object)
    _refuse_failed(rows[held], checks.severities)
    placed = placed.where(usable(rows, checks.severities), LEFT_OUT)
    placed = _leave_out(rows, placed, placed == NOT_SPEECH, NOT_SPEECH)
    pairs = leaks(rows, keys, placed)
    if params.on_leak == "fail":
        refuse(pairs, rows)
    placed = _leave_out(rows, placed, rows.index.to_series().isin(pairs["row"]), "leak")
    for name in ("train", "dev", "test"):
        if not (placed == name).any():
            raise DataError(
                f"the {name} set is empty; there are {(placed != LEFT_OUT).sum()} usable utterances"
            )
    num_dev = int((placed == "dev").sum())
    if checks.limits and num_dev < params.min_test:
        raise DataError(
            f"set dev has {num_dev} rows of what the limits of corpora leave; split.min_test is "
            f"{params.min_test}. Raise split.dev, for a corpus alone by split.exceptions"
        )
    parts = {name: rows[placed == name].reset_index(drop=True) for name in (*SETS, LEFT_OUT)}
    for name in TEST_SETS:
        _refuse_small(name, parts[name], params)
    parts[DEV_SAMPLE] = _dev_sample(parts["dev"], params)
    return parts, _count(parts)


def _refuse_small(name: str, rows: pd.DataFrame, params: SplitParams) -> None:
    """Refuse a test set that decides nothing about one of its corpora."""
    counts = rows["corpus"].value_counts()
    few = {corpus: count for corpus, count in counts.items() if count < params.min_test}
    if not few:
        return
    needed = {points: math.ceil((SHOWS * 100 * SPREAD / points) ** 2) for points in (1, 3, 5)}
    found = ", ".join(f"{count} rows of {corpus}" for corpus, count in few.items())
    raise DataError(
        f"set {name} has {found}; split.min_test is {params.min_test}. A difference of one point "
        f"of CER takes about {needed[1]:,} rows to show, of three {needed[3]}, of five "
        f"{needed[5]}. Hold more of the corpus out by split.exceptions, or lower split.min_test"
    )


def _dev_sample(dev: pd.DataFrame, params: SplitParams) -> pd.DataFrame:
    """Rows of dev that variants are chosen by, those whose ids hash lowest, so it nests."""
    own = dev[~dev["corpus"].isin(params.out_of_domain)]
    rows = own if len(own) else dev
    kept = limited(rows["id"], f"{params.salt} dev sample", params.dev_sample)
    return rows[kept].reset_index(drop=True)


def usable(rows: pd.DataFrame, severities: Mapping[str, FlagSeverity]) -> "pd.Series[bool]":
    """Which rows have no flag that keeps them out, by the severities of their corpora."""
    return _without(rows, severities, {"fail", "drop"})


def _without(
    rows: pd.DataFrame, severities: Mapping[str, FlagSeverity], effects: set[str]
) -> "pd.Series[bool]":
    """Which rows have no flag that has one of these effects in their corpus."""
    named = {
        corpus: {
            flag
            for flag, effect in (asdict(severity) | dict.fromkeys(IN_NO_SET, "drop")).items()
            if effect in effects
        }
        for corpus, severity in severities.items()
    }
    pairs = zip(rows["corpus"], rows["flags"], strict=True)
    found = [named[corpus].isdisjoint(flags) for corpus, flags in pairs]
    return pd.Series(found, index=rows.index, dtype=bool)


def _keys(rows: pd.DataFrame, params: SplitParams) -> pd.DataFrame:
    """What makes two rows the same utterance; missing where the key does not count."""
    text = rows["text"].map(group_text).astype(str)
    return pd.DataFrame(
        {
            "same text": text.where(text.str.len() >= params.group_min_letters),
            "same audio": rows["audio_hash"].where(rows["audio_hash"] != ""),
            # astype: an empty column maps to another type.
            "same text and duration": text
            + "\0"
            + rows["duration_s"].map("{:.2f}".format).astype(str),
        }
    )


def place(
    rows: pd.DataFrame, keys: pd.DataFrame, params: SplitParams, groups: "pd.Series[str]"
) -> "pd.Series[str]":
    """The set of each row, whatever its flags.

    A row whose name in `groups` is held out tests. Where a corpus's makers split it, their sets
    hold. Elsewhere the hash of an
    utterance's group decides: its text when long enough, else its text and
    duration. So adding data moves nothing.

    Raises:
        ConfigError: out_of_domain or exceptions name an unknown corpus, hold_out an unknown group.
    """
    corpora = rows["corpus"].unique()
    for key in ("out_of_domain", "exceptions"):
        if unknown := set(getattr(params, key)) - set(corpora):
            raise ConfigError(
                f"split.{key} names {', '.join(sorted(unknown))}; the corpora are "
                f"{', '.join(sorted(corpora))}"
            )
    shares = {corpus: params.exceptions.get(corpus, params) for corpus in corpora}
    test, dev = (
        rows["corpus"].map({corpus: getattr(share, name) for corpus, share in shares.items()})
        for name in ("test", "dev")
    )
    group = keys["same text"].fillna(keys["same text and duration"])
    hashed = group.map(lambda key: unit_hash(key, params.salt)).astype(float)
    placed = pd.Series("train", index=rows.index, dtype=object)
    placed[hashed < test + dev] = "dev"
    placed[hashed < test] = "test"
    placed = rows["upstream_set"].astype(object).fillna(placed)
    placed[held_out(groups, params.hold_out)] = "test"
    is_ood = rows["corpus"].isin(params.out_of_domain)
    return placed.mask((placed == "test") & is_ood, "ood")


def held_out(groups: "pd.Series[str]", names: Collection[str]) -> "pd.Series[bool]":
    """Which rows are of a group that is held out.

    Raises:
        ConfigError: a name is that of no group.
    """
    known = sorted(groups.dropna().unique())
    for name in names:
        if name not in known:
            more = f" and {len(known) - SHOWN_GROUPS} more" if len(known) > SHOWN_GROUPS else ""
            raise ConfigError(
                f"split.hold_out names group '{name}', which no utterance is of. "
                f"{hint(name, known[:SHOWN_GROUPS])}{more}"
            )
    return groups.isin(names)


def _refuse_failed(rows: pd.DataFrame, severities: Mapping[str, FlagSeverity]) -> None:
    failed = rows[~_without(rows, severities, {"fail"})]
    if failed.empty:
        return
    counts = Counter(
        flag
        for corpus, flags in zip(failed["corpus"], failed["flags"], strict=True)
        for flag in flags
        if getattr(severities[corpus], flag) == "fail"
    )
    lines = "\n".join(
        f"  {row['corpus']} {row['id']}: {', '.join(row['flags'])}"
        for row in failed.head(SHOWN_FAILED).to_dict("records")
    )
    raise DataError(
        f"{len(failed)} utterances of dev and test sets, or without speech, have a flag that must "
        "not occur: "
        f"{', '.join(f'{flag} {count}' for flag, count in counts.most_common())}\n{lines}\n"
        "repair them, or set manifest.exceptions.CORPUS.FLAG to drop or warn"
    )


def leaks(rows: pd.DataFrame, keys: pd.DataFrame, placed: "pd.Series[str]") -> pd.DataFrame:
    """Rows that share an utterance with a set that must not know it; the test sets may share.

    Returns:
        one line for each row that should go: `row` (its index), `set`, `other` (the
        index of its twin), `other_set` and `reason`, a column of `keys`. A row goes
        from the training set rather than from dev, and from dev rather than from
        a test set.
    """
    found = []
    for reason in keys:
        for less, more in (("train", SETS[1:]), ("dev", TEST_SETS)):
            others = keys[reason][placed.isin(more)].dropna().drop_duplicates()
            twin = pd.Series(others.index, index=others)
            own = keys[reason][placed == less].dropna()
            own = own[own.isin(others)]
            pairs = pd.DataFrame({"row": own.index, "other": twin.loc[own].array})
            found.append(pairs.assign(reason=str(reason)))
    pairs = pd.concat(found, ignore_index=True).drop_duplicates("row")
    pairs["set"] = placed.loc[pairs["row"]].to_numpy()
    pairs["other_set"] = placed.loc[pairs["other"]].to_numpy()
    return pairs.sort_values("row", ignore_index=True)


def refuse(pairs: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Stop if there are leaks.

    Raises:
        DataError: there are; the message names the rows.
    """
    if pairs.empty:
        return
    shown = []
    for pair in pairs.head(SHOWN).to_dict("records"):
        row, other = rows.loc[pair["row"]], rows.loc[pair["other"]]
        shown.append(
            f"  {row['corpus']} {row['id']} in {pair['set']} and {other['corpus']} {other['id']} "
            f"in {pair['other_set']}: {pair['reason']}"
        )
    lines = "\n".join(shown)
    raise DataError(
        f"{len(pairs)} leaks between the sets:\n{lines}\n"
        "remove one row of each pair from its corpus, or set split.on_leak to drop, which leaves "
        "out the first of each pair"
    )


def limited(ids: "pd.Series[str]", salt: str, limit: int | None) -> "pd.Series[bool]":
    """Which rows of a set a limit keeps: those whose ids hash lowest, so it nests."""
    order = ids.map(lambda id_: unit_hash(id_, salt)).astype(float)
    return order.rank(method="first") <= (len(ids) if limit is None else limit)


def within(rows: pd.DataFrame, limit: Limit, salt: str) -> "pd.Series[bool]":
    """Which training rows of a corpus its limit keeps; a larger one keeps them too.

    Those whose ids hash lowest, in corpora of shards shard by shard.
    """
    hashed = rows["id"].map(lambda id_: unit_hash(id_, f"{salt} limit")).astype(float)
    keys = pd.DataFrame({"shard": rows["shard"] if limit.in_shards else "", "hash": hashed})
    if isinstance(limit.of, int):
        count = limit.of
    else:
        count = len(rows) if limit.in_shards else max(round(limit.of * len(rows)), 1)
    kept = keys.sort_values(["shard", "hash"], kind="stable").index[:count]
    return pd.Series(rows.index.isin(kept), index=rows.index)


def _leave_out(
    rows: pd.DataFrame, placed: "pd.Series[str]", going: "pd.Series[bool]", reason: str
) -> "pd.Series[str]":
    """Move rows to left_out, with the reason among their flags."""
    rows["flags"] = [
        [*flags, reason] if goes else flags
        for flags, goes in zip(rows["flags"], going, strict=True)
    ]
    return placed.mask(going, LEFT_OUT)


def _count(parts: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """Utterances and hours of each table, by corpus."""
    return {
        name: {
            corpus: {
                "utterances": len(group),
                "hours": round(float(group["duration_s"].sum()) / 3600, 4),
            }
            for corpus, group in part.groupby("corpus")
        }
        for name, part in parts.items()
    }
