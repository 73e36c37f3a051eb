"""A corrected row stays in its set, a dropped one is in none, and nothing else moves."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from galgame_asr.core.params import parse
from galgame_asr.manifests.params import FlagSeverity
from galgame_asr.messages.errors import DataError
from galgame_asr.splitting.split import LEFT_OUT, Checks, split
from tests.unit.splitting.test_split import DROP, PARAMS, checks, everywhere, rows, sets_of

__all__ = ["checks"]  # the fixture


def corrected(data: pd.DataFrame, texts: dict[int, str]) -> pd.DataFrame:
    """The manifest after corrections of the rows with these numbers."""
    new = pd.Series(texts, dtype=object)
    return data.assign(
        text=new.reindex(data.index).fillna(data["text"]),
        label=data["text"].where(data.index.isin(new.index), None),
        flags=pd.Series([["corrected"] if n in texts else [] for n in data.index], dtype=object),
    )


@pytest.mark.parametrize("letters", [1, 5, 100])
def test_a_corrected_row_stays_in_its_set(checks: Checks, letters: int) -> None:
    """Of every set, whether its text alone decided or its duration too."""
    params = dataclasses.replace(PARAMS, group_min_letters=letters)
    data = pd.concat([rows(300, checks), rows(100, checks, "reading")], ignore_index=True)
    before = sets_of(data.copy(), checks, params)
    draw = np.random.default_rng(0)
    texts = {int(n): f"直した台詞{n}。" for n in draw.choice(len(data), 100, replace=False)}
    after = sets_of(corrected(data, texts), checks, params)
    assert after == before
    assert {before[data["id"][n]] for n in texts} == {"train", "dev", "test"}
    # The text alone would have moved some.
    moved = corrected(data, texts).drop(columns="label")
    assert sets_of(moved, checks, params) != before


def test_one_of_two_labels_that_were_the_same_is_corrected(checks: Checks) -> None:
    """Both stay where they are, and they are no twins any more."""
    data = rows(200, checks)
    data["text"] = [data["text"][0], *data["text"][:1], *data["text"][2:]]
    before = sets_of(data.copy(), checks)
    assert sets_of(corrected(data, {0: "別の台詞。"}), checks) == before


def test_a_label_without_words_decides_nothing(checks: Checks) -> None:
    """Its row was in no set; the same text in two such rows is in one, as of any rows."""
    data = rows(200, checks)
    texts = dict(enumerate(data["text"]))
    wanted = sets_of(data.copy(), checks)
    assert sets_of(corrected(data.assign(text="…"), texts), checks) == wanted


@pytest.mark.parametrize("corrects", ["train", "test"])
def test_a_leak_is_one_of_the_new_text(checks: Checks, corrects: str) -> None:
    """Whichever of the two was corrected, the training row goes, or the split stops."""
    data = rows(200, checks)
    placed = sets_of(data.copy(), checks)
    of = {s: data.index[data["id"].map(placed) == s][0] for s in ("train", "test")}
    (other,) = {"train", "test"} - {corrects}
    after = corrected(data, {of[corrects]: data["text"][of[other]]})
    with pytest.raises(DataError, match=r"1 leaks.*\n.* in train and .* in test: same text"):
        split(after.copy(), PARAMS, checks)
    dropping = dataclasses.replace(PARAMS, on_leak="drop")
    assert sets_of(after, checks, dropping) == placed | {data["id"][of["train"]]: LEFT_OUT}


def test_dropped_rows_are_in_no_set(checks: Checks) -> None:
    """Whatever the severities are, with their reason; no other row moves."""
    data = rows(200, checks)
    before = sets_of(data.copy(), checks)
    out = [next(i for i, id_ in enumerate(data["id"]) if before[id_] == s) for s in ("dev", "test")]
    data["flags"] = [["dropped"] if number in out else [] for number in data.index]
    warn = parse(FlagSeverity, dict.fromkeys(dataclasses.asdict(DROP), "warn"), "severity")
    parts, _ = split(data, PARAMS, dataclasses.replace(checks, severities=everywhere(warn)))
    assert parts[LEFT_OUT]["flags"].tolist() == [["dropped"]] * 2
    after = {id_: name for name in ("train", "dev", "test") for id_ in parts[name]["id"]}
    assert after == {id_: name for id_, name in before.items() if id_ not in set(data["id"][out])}


def test_a_corpus_without_corrections_beside_one_with(checks: Checks) -> None:
    """Its rows have no label, and their texts decide."""
    vn, reading = rows(200, checks), rows(200, checks, "reading")
    before = sets_of(pd.concat([vn, reading], ignore_index=True), checks)
    both = pd.concat([corrected(vn, {0: "別。"}), reading], ignore_index=True)
    assert sets_of(both, checks) == before
