"""Adding data moves nothing between the sets, and a leak stops the split."""

import dataclasses
import random

import pandas as pd
import pytest

from galgame_asr.errors import ConfigError, DataError
from galgame_asr.params.split import SplitParams
from galgame_asr.split import refuse_leaks, split

PARAMS = SplitParams(
    salt="t", dev=0.2, test=0.2, group_min_letters=3, out_of_domain=(), test_limit=None
)
WITH_OOD = dataclasses.replace(PARAMS, out_of_domain=("reading",))


def rows(count: int, corpus: str = "vn", seed: int = 0) -> pd.DataFrame:
    draw = random.Random(f"{corpus} {seed}")
    return pd.DataFrame(
        {
            "id": [f"{corpus}{draw.getrandbits(40):010x}" for _ in range(count)],
            "corpus": corpus,
            "text": [f"台詞{draw.getrandbits(24)}。" for _ in range(count)],
            "duration_s": [draw.uniform(1, 9) for _ in range(count)],
            "audio_hash": [f"{draw.getrandbits(64):016x}" for _ in range(count)],
        }
    )


def sets_of(data: pd.DataFrame, params: SplitParams = PARAMS) -> dict[str, str]:
    return {id_: name for name, part in split(data, params).items() for id_ in part["id"]}


def test_every_row_lands_in_one_set_near_its_share() -> None:
    """Nothing is lost, and the shares hold."""
    data = pd.concat([rows(2000), rows(500, "reading")])
    placed = sets_of(data, WITH_OOD)
    assert len(placed) == 2500
    counts = pd.Series(placed).value_counts()
    assert abs(counts["test"] - 400) < 80
    assert abs(counts["ood"] - 100) < 40


@pytest.mark.parametrize("seed", range(5))
def test_adding_data_moves_nothing(seed: int) -> None:
    """Property: the sets of the old rows are the same with and without new rows."""
    old, new = rows(300, seed=seed), rows(300, seed=seed + 100)
    together = sets_of(pd.concat([new, old]))
    assert {id_: together[id_] for id_ in old["id"]} == sets_of(old)


def test_one_text_stays_in_one_set() -> None:
    """Voices, corpora, punctuation and width of letters do not part a text."""
    data = pd.concat([rows(300), rows(300, "reading")], ignore_index=True)
    data.loc[300:, "text"] = ["「" + text.replace("。", "！」") for text in data["text"][:300]]
    placed = sets_of(data, WITH_OOD)
    for own, other in zip(data["id"][:300], data["id"][300:], strict=True):
        assert (placed[own], placed[other]) in {
            ("train", "train"), ("dev", "dev"), ("test", "ood"),
        }  # fmt: skip


def test_short_texts_do_not_tie_lines_together() -> None:
    """Lines that all say はい are placed one by one."""
    data = rows(300).assign(text="はい")
    assert set(sets_of(data).values()) == {"train", "dev", "test"}


def test_limits_nest() -> None:
    """The 20 rows of a small test set are among the 40 of a larger one."""
    data = rows(1000)
    small, large = (
        set(split(data, dataclasses.replace(PARAMS, test_limit=limit))["test"]["id"])
        for limit in (20, 40)
    )
    assert len(small) == 20
    assert small < large


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (["text"], "same text"),
        (["audio_hash"], "same audio"),
        (["text", "duration_s"], "same text and duration"),
    ],
)
def test_each_kind_of_leak_is_refused(columns: list[str], reason: str) -> None:
    """A copy of a training row in the test set is named with its twin, whatever gives it away."""
    data = rows(200)
    params = PARAMS
    if reason == "same text and duration":
        data["text"] = "はい"  # too short for a group
        params = dataclasses.replace(PARAMS, group_min_letters=8)
    parts = split(data, params)
    refuse_leaks(parts, params)
    test = parts["test"]
    for column in columns:
        test[column] = [parts["train"][column][0], *test[column][1:]]
    ids = f"vn {parts['train']['id'][0]} in train and vn {test['id'][0]} in test: {reason}"
    with pytest.raises(DataError, match=ids):
        refuse_leaks(parts, params)


def test_unknown_corpora_and_empty_sets_are_errors() -> None:
    """A misspelt corpus or too little data does not end in a silent empty set."""
    with pytest.raises(ConfigError, match=r"names reading; the corpora are vn"):
        split(rows(10), WITH_OOD)
    with pytest.raises(DataError, match="the test set is empty"):
        split(rows(10, "reading"), WITH_OOD)
