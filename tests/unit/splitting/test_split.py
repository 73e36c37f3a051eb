"""Adding data moves nothing between the sets, and a leak stops the split."""

import dataclasses
import random
import re

import numpy as np
import pandas as pd
import pytest

from galgame_asr.core.params import parse, read_yaml
from galgame_asr.core.paths import DEV_SAMPLE, SETS
from galgame_asr.core.reader import ShardReader
from galgame_asr.corpora.synthetic import ogg
from galgame_asr.manifests.params import FlagSeverity, ManifestParams
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.shards import tar
from galgame_asr.splitting.params import Shares, SplitParams
from galgame_asr.splitting.split import LEFT_OUT, Checks, Limit, split
from tests.conftest import REPOSITORY, tone

PARAMS = SplitParams(
    salt="t",
    dev=0.2,
    test=0.2,
    group_min_letters=3,
    out_of_domain=(),
    hold_out=(),
    on_leak="fail",
    test_limit=None,
    exceptions={},
    min_test=1,
    dev_sample=20,
)
WITH_OOD = dataclasses.replace(PARAMS, out_of_domain=("reading",))
MANIFEST = parse(ManifestParams, read_yaml(REPOSITORY / "params.yaml")["manifest"], "manifest")
DROP = parse(
    FlagSeverity,
    {field.name: "drop" for field in dataclasses.fields(FlagSeverity)},
    "severity",
)


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> Checks:
    """One second of good audio, which every row points at, and one of silence after it."""
    root = tmp_path_factory.mktemp("raw")
    silence = ogg.encode(np.zeros(16_000, np.int16), 16_000)
    tar.write(root / "a.tar", [("a.ogg", tone(1.0)), ("b.ogg", silence)])
    signal = dataclasses.replace(MANIFEST.signal, max_length_error_s=60.0)  # durations are drawn
    return Checks({}, {}, everywhere(DROP), signal, ShardReader(root))


def everywhere(severity: FlagSeverity) -> dict[str, FlagSeverity]:
    return dict.fromkeys(("vn", "reading"), severity)


def rows(count: int, checks: Checks, corpus: str = "vn", seed: int = 0) -> pd.DataFrame:
    draw = random.Random(f"{corpus} {seed}")
    good, _ = tar.members(checks.reader.root / "a.tar")
    return pd.DataFrame(
        {
            "id": [f"{corpus}{draw.getrandbits(40):010x}" for _ in range(count)],
            "corpus": corpus,
            "shard": "a.tar",
            "offset": good.offset,
            "size": good.size,
            "text": [f"台詞{draw.getrandbits(24)}。" for _ in range(count)],
            "duration_s": 1.0,
            "audio_hash": [f"{draw.getrandbits(64):016x}" for _ in range(count)],
            "upstream_set": pd.Series([None] * count, dtype=object),
            "flags": [[] for _ in range(count)],
        }
    )


def placed_in(parts: dict[str, pd.DataFrame]) -> dict[str, str]:
    """The set of each id; a sample of dev has it again."""
    return {id_: name for name, part in parts.items() if name != DEV_SAMPLE for id_ in part["id"]}


def sets_of(data: pd.DataFrame, checks: Checks, params: SplitParams = PARAMS) -> dict[str, str]:
    parts, _ = split(data, params, checks)
    return placed_in(parts)


def test_every_row_lands_in_one_set_near_its_share(checks: Checks) -> None:
    """Nothing is lost, and the shares hold."""
    data = pd.concat([rows(2000, checks), rows(500, checks, "reading")], ignore_index=True)
    placed = sets_of(data, checks, WITH_OOD)
    assert len(placed) == 2500
    counts = pd.Series(placed).value_counts()
    assert LEFT_OUT not in counts
    assert abs(counts["test"] - 400) < 80
    assert abs(counts["ood"] - 100) < 40


@pytest.mark.parametrize("seed", range(5))
def test_adding_data_moves_nothing(seed: int, checks: Checks) -> None:
    """Property: the sets of the old rows are the same with and without a new shard's rows."""
    old, new = rows(300, checks, seed=seed), rows(300, checks, seed=seed + 100)
    together = sets_of(pd.concat([new, old], ignore_index=True), checks)
    assert {id_: together[id_] for id_ in old["id"]} == sets_of(old, checks)


def by_first_digit(data: pd.DataFrame) -> "pd.Series[str]":
    """The group of a row is the first digit of its id; a letter is none."""
    first = data["id"].str.removeprefix("vn").str.removeprefix("reading").str[0]
    return first.where(first.str.isdigit(), None)


def test_groups_that_are_held_out_test(checks: Checks) -> None:
    """All of their rows, also of those that upstream put elsewhere; no other row moves."""
    data = pd.concat([rows(400, checks), rows(400, checks, "reading")], ignore_index=True)
    data.loc[::7, "upstream_set"] = "train"
    grouped = dataclasses.replace(checks, groups=by_first_digit)
    before = sets_of(data.copy(), grouped, WITH_OOD)
    held = dataclasses.replace(WITH_OOD, hold_out=("3", "7"))
    after = sets_of(data.copy(), grouped, held)
    groups = by_first_digit(data).set_axis(data["id"])
    out = set(groups.index[groups.isin(["3", "7"])])
    assert 60 < len(out) < 140
    assert {before[id_] for id_ in out} == {"train", "dev", "test", "ood"}
    # In domain and out of domain as their corpora are.
    assert {id_: after[id_] for id_ in out} == {
        id_: "test" if id_.startswith("vn") else "ood" for id_ in out
    }
    rest = set(after) - out
    assert {id_: after[id_] for id_ in rest} == {id_: before[id_] for id_ in rest}


def test_a_line_of_a_held_out_group_leaks_as_any_other(checks: Checks) -> None:
    """The same line in another game is refused, or leaves the training set."""
    data = rows(200, checks)
    groups = by_first_digit(data)
    twin, own = data.index[groups == "3"][0], data.index[groups == "4"]
    placed = sets_of(data.copy(), checks)
    other = next(i for i in own if placed[data.loc[i, "id"]] == "train")
    data.loc[other, "text"] = data.loc[twin, "text"]
    grouped = dataclasses.replace(checks, groups=by_first_digit)
    held = dataclasses.replace(PARAMS, hold_out=("3",))
    with pytest.raises(DataError, match="1 leaks between the sets"):
        split(data.copy(), held, grouped)
    after = sets_of(data.copy(), grouped, dataclasses.replace(held, on_leak="drop"))
    assert after[data.loc[twin, "id"]] == "test"
    assert after[data.loc[other, "id"]] == LEFT_OUT


def test_a_group_that_is_not_there(checks: Checks) -> None:
    """The message lists those there are, some of many."""
    held = dataclasses.replace(PARAMS, hold_out=("3", "game_x"))
    grouped = dataclasses.replace(checks, groups=by_first_digit)
    with pytest.raises(
        ConfigError, match=r"hold_out names group 'game_x'.*Allowed: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9$"
    ):
        split(rows(300, checks), held, grouped)
    with pytest.raises(ConfigError, match=r"hold_out names group '3', .*Allowed: nothing$"):
        split(rows(300, checks), held, checks)
    many = dataclasses.replace(checks, groups=lambda data: data["id"])
    with pytest.raises(ConfigError, match="and 270 more"):
        split(rows(300, checks), held, many)


@pytest.mark.parametrize("in_shards", [False, True])
@pytest.mark.parametrize("sizes", [(10, 50, 90), (0.05, 0.3, 0.8)])
def test_limits_are_nested_and_leave_what_tests(
    checks: Checks, sizes: tuple[int | float, ...], in_shards: bool
) -> None:
    """Each keeps the training rows of the smaller one; dev and test are as without."""
    data = rows(300, checks)
    data["shard"] = ["a.tar" if n % 3 else "b.tar" for n in range(300)]
    files = checks.reader.root
    (files / "b.tar").write_bytes((files / "a.tar").read_bytes())
    all_rows = placed_in(split(data.copy(), PARAMS, checks)[0])
    sets = {name: {id_ for id_, own in all_rows.items() if own == name} for name in SETS}
    smaller: set[str] = set()
    for size in sizes:
        limits = {"vn": Limit(size, in_shards)}
        parts, _ = split(data.copy(), PARAMS, dataclasses.replace(checks, limits=limits))
        kept = set(parts["train"]["id"])
        for name in ("dev", "test"):
            assert set(parts[name]["id"]) == sets[name]
        if isinstance(size, int):
            assert len(kept) == size
        elif in_shards:  # of the shards, which fetch has taken already
            assert kept == sets["train"]
        else:
            assert len(kept) == round(size * len(sets["train"]))
        assert smaller <= kept <= sets["train"]
        assert set(parts[LEFT_OUT]["id"]) == sets["train"] - kept
        smaller = kept
    if in_shards and isinstance(sizes[0], int):  # the last keeps more than the first shard's
        first = set(data["id"][data["shard"] == "a.tar"]) & sets["train"]
        assert len(kept - first) == max(sizes[-1] - len(first), 0)


def test_too_small_a_dev_set_of_a_limit(checks: Checks) -> None:
    """Is refused with the param that mends it."""
    params = dataclasses.replace(PARAMS, dev=0.01, min_test=20)
    limited = dataclasses.replace(checks, limits={"vn": Limit(0.5, in_shards=True)})
    with pytest.raises(DataError, match=r"set dev has \d rows .* Raise split\.dev"):
        split(rows(300, checks), params, limited)


def test_one_text_stays_in_one_set(checks: Checks) -> None:
    """Voices, corpora, punctuation and width of letters do not part a text."""
    data = pd.concat([rows(300, checks), rows(300, checks, "reading")], ignore_index=True)
    data.loc[300:, "text"] = ["「" + text.replace("。", "！」") for text in data["text"][:300]]
    placed = sets_of(data, checks, WITH_OOD)
    for own, other in zip(data["id"][:300], data["id"][300:], strict=True):
        assert (placed[own], placed[other]) in {
            ("train", "train"), ("dev", "dev"), ("test", "ood"),
        }  # fmt: skip


def test_short_texts_do_not_tie_lines_together(checks: Checks) -> None:
    """Lines that all say はい are placed one by one, by their durations."""
    data = rows(300, checks).assign(text="はい", duration_s=np.linspace(1, 9, 300))
    assert set(sets_of(data, checks).values()) == {"train", "dev", "test"}


def test_limits_nest_and_nothing_is_lost(checks: Checks) -> None:
    """The 20 rows of a small test set are among the 40 of a larger one; the rest is accounted."""
    data = rows(1000, checks)
    parts = {
        limit: split(data, dataclasses.replace(PARAMS, test_limit=limit), checks)[0]
        for limit in (20, 40)
    }
    small, large = (set(part["test"]["id"]) for part in parts.values())
    assert len(small) == 20
    assert small < large
    assert len(placed_in(parts[20])) == 1000
    assert parts[20][LEFT_OUT]["flags"].map(list).tolist() == [["test_limit"]] * len(
        parts[20][LEFT_OUT]
    )


def test_the_makers_sets_hold(checks: Checks) -> None:
    """A row that upstream keeps for testing is never trained on, whatever its hash says."""
    data = rows(300, checks)
    data.loc[:99, "upstream_set"] = "test"
    data.loc[100:149, "upstream_set"] = "train"
    placed = sets_of(data, checks)
    assert {placed[id_] for id_ in data["id"][:100]} == {"test"}
    assert {placed[id_] for id_ in data["id"][100:150]} == {"train"}


LEAKS = [
    (["text"], "same text"),
    (["audio_hash"], "same audio"),
    (["text", "duration_s"], "same text and duration"),
]


def leaking(columns: list[str], checks: Checks) -> tuple[pd.DataFrame, SplitParams]:
    """A row that upstream tests on shares columns with one that it trains on."""
    data = rows(200, checks)
    data.loc[0, "upstream_set"] = "test"
    data.loc[1, "upstream_set"] = "train"
    params = PARAMS
    if "duration_s" in columns:
        data.loc[:1, "text"] = "はい"  # too short for a group
        params = dataclasses.replace(PARAMS, group_min_letters=8)
    for column in columns:
        data[column] = [data[column][0], *data[column][:1], *data[column][2:]]
    return data, params


@pytest.mark.parametrize(("columns", "reason"), LEAKS)
def test_each_kind_of_leak_stops_the_split(columns: list[str], reason: str, checks: Checks) -> None:
    """Both rows are named, with what gives them away."""
    data, params = leaking(columns, checks)
    test, train = data["id"][:2]
    with pytest.raises(DataError, match=f"vn {train} in train and vn {test} in test: {reason}"):
        split(data, params, checks)


@pytest.mark.parametrize(("columns", "reason"), LEAKS)
def test_a_leak_is_left_out_where_params_say_so(
    columns: list[str], reason: str, checks: Checks
) -> None:
    """The training row goes, with its reason; the test set stays as its makers chose it."""
    data, params = leaking(columns, checks)
    test, train = data["id"][:2]
    parts, _ = split(data, dataclasses.replace(params, on_leak="drop"), checks)
    assert test in set(parts["test"]["id"])
    left = parts[LEFT_OUT]
    assert dict(zip(left["id"], left["flags"].map(list), strict=True)) == {train: ["leak"]}, reason


def test_dev_and_test_signals_are_all_checked(checks: Checks) -> None:
    """Silence is left out of the sets that measure; a flag of severity fail stops."""
    data = rows(300, checks)
    _, silent = tar.members(checks.reader.root / "a.tar")
    data[["offset", "size"]] = [silent.offset, silent.size]
    with pytest.raises(DataError, match="the dev set is empty"):
        split(data, PARAMS, checks)
    strict, warned = (
        dataclasses.replace(checks, severities=everywhere(dataclasses.replace(DROP, silent=effect)))
        for effect in ("fail", "warn")
    )
    with pytest.raises(
        DataError, match=r"utterances of dev and test sets, .*occur: silent \d+\n  vn vn.*: silent"
    ):
        split(data, PARAMS, strict)
    parts, _ = split(data, PARAMS, warned)
    assert {tuple(flags) for flags in parts["dev"]["flags"]} == {("silent",)}
    assert {tuple(flags) for flags in parts["train"]["flags"]} == {()}


def test_what_is_no_speech_is_in_no_set(checks: Checks) -> None:
    """Whatever its hash and its groups; with that reason, unless another keeps it from any use.

    Its signals are all checked, and it moves no other row.
    """
    _, silent = tar.members(checks.reader.root / "a.tar")
    music = rows(60, checks, "reading").assign(text="", upstream_set="not_speech")
    music.loc[:9, ["offset", "size"]] = [silent.offset, silent.size]
    music["flags"] = [["too_short"] if number == 59 else [] for number in range(60)]
    speech = rows(300, checks)
    held = dataclasses.replace(
        checks,
        groups=lambda found: found["corpus"].where(found["corpus"] == "reading", None),
        excluded={"reading": {music["id"][58]: "ugly"}},
    )
    data = pd.concat([speech, music], ignore_index=True)
    parts, _ = split(data, dataclasses.replace(PARAMS, hold_out=("reading",)), held)
    assert {i: s for i, s in placed_in(parts).items() if s != LEFT_OUT} == sets_of(speech, checks)
    reasons = parts[LEFT_OUT].set_index("id")["flags"].map(list)
    found = [reasons[id_] for id_ in music["id"]]
    assert found[:10] == [["silent"]] * 10
    assert found[10:] == [["not_speech"]] * 48 + [["excluded"], ["too_short"]]
    strict = dataclasses.replace(
        checks, severities=everywhere(dataclasses.replace(DROP, silent="fail"))
    )
    with pytest.raises(DataError, match=r"10 utterances of .* or without speech, .*: silent 10\n"):
        split(data, PARAMS, strict)


def test_a_flagged_row_is_left_out_with_its_reason(checks: Checks) -> None:
    """It can be found again, with all its columns."""
    data = rows(100, checks)
    data["flags"] = [["too_fast"] if number == 7 else [] for number in range(100)]
    parts, counts = split(data, PARAMS, checks)
    left = parts[LEFT_OUT].to_dict("records")
    assert [(row["id"], list(row["flags"])) for row in left] == [(data["id"][7], ["too_fast"])]
    assert counts[LEFT_OUT]["vn"]["utterances"] == 1


def test_unknown_corpora_and_empty_sets_are_errors(checks: Checks) -> None:
    """A misspelt corpus or too little data does not end in a silent empty set."""
    with pytest.raises(ConfigError, match=r"names reading; the corpora are vn"):
        split(rows(10, checks), WITH_OOD, checks)
    with pytest.raises(DataError, match="the test set is empty"):
        split(rows(10, checks, "reading"), WITH_OOD, checks)


def test_the_dev_sample_nests_and_is_in_domain(checks: Checks) -> None:
    """Rows of dev; a smaller one is within a larger."""
    data = pd.concat([rows(600, checks), rows(600, checks, "reading")], ignore_index=True)

    def sample(count: int, out_of_domain: tuple[str, ...]) -> pd.DataFrame:
        params = dataclasses.replace(PARAMS, out_of_domain=out_of_domain, dev_sample=count)
        parts, _ = split(data.copy(), params, checks)
        assert set(parts[DEV_SAMPLE]["id"]) <= set(parts["dev"]["id"])
        return parts[DEV_SAMPLE]

    few, more = (set(sample(count, ("reading",))["id"]) for count in (10, 40))
    assert len(few) == 10
    assert few < more
    assert set(sample(40, ("reading",))["corpus"]) == {"vn"}
    assert set(sample(40, ())["corpus"]) == {"reading", "vn"}
    assert len(sample(10_000, ("reading",))) < 600
    # No row of vn is in dev.
    data["upstream_set"] = data["corpus"].map({"vn": "test", "reading": None})
    assert set(sample(40, ("reading",))["corpus"]) == {"reading"}


def test_a_test_set_that_decides_nothing_is_refused(checks: Checks) -> None:
    """By its corpus, with how many rows a difference takes; a corpus without test rows may be."""
    data = pd.concat([rows(400, checks), rows(60, checks, "reading")], ignore_index=True)
    strict = dataclasses.replace(PARAMS, min_test=50)
    with pytest.raises(DataError) as error:
        split(data.copy(), strict, checks)
    message = str(error.value)
    assert re.search(r"^set test has \d+ rows of reading; split\.min_test is 50\.", message)
    assert "one point of CER takes about 1,131 rows to show, of three 126, of five 46" in message
    none = {"reading": Shares(dev=0.2, test=0.0)}
    parts, _ = split(data.copy(), dataclasses.replace(strict, exceptions=none), checks)
    assert set(parts["test"]["corpus"]) == {"vn"}


def test_a_corpus_can_have_shares_of_its_own(checks: Checks) -> None:
    """Nothing of the others moves, and of its own only what the shares say."""
    data = pd.concat([rows(500, checks), rows(500, checks, "reading")], ignore_index=True)
    before = sets_of(data.copy(), checks)
    shares = {"reading": Shares(dev=0.2, test=0.5)}
    after = sets_of(data.copy(), checks, dataclasses.replace(PARAMS, exceptions=shares))
    moved = {id_ for id_, name in after.items() if before[id_] != name}
    assert moved
    assert all(id_.startswith("reading") for id_ in moved)
    assert {id_ for id_, name in before.items() if name == "test"} <= {
        id_ for id_, name in after.items() if name == "test"
    }
    with pytest.raises(ConfigError, match=r"split\.exceptions names other; the corpora are"):
        split(data, dataclasses.replace(PARAMS, exceptions={"other": shares["reading"]}), checks)
