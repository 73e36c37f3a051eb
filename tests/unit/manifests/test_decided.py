"""What people decided about labels is in the manifest, and nothing else of it changes."""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from galgame_asr.core import utterances
from galgame_asr.core.paths import DECISIONS
from galgame_asr.manifests.corrections import HEADER, Correction, append, histories, path_of, read
from galgame_asr.manifests.index import Corpus, index
from galgame_asr.messages.errors import DataError
from galgame_asr.shards import folder as shards
from galgame_asr.shards.folder import Shard
from galgame_asr.stages import corrections as stage
from tests.conftest import tone
from tests.unit.manifests.test_corrections import of
from tests.unit.manifests.test_index import PARAMS, MakeShard

# Six utterances in two shards.
TEXTS = {
    "a": "葵、おはよう。", "b": "おやすみ。", "c": "いただきます。", "d": "さようなら。",
    "e": "ただいま。", "f": "おかえり。",
}  # fmt: skip


@pytest.fixture
def corpus(make_shard: MakeShard) -> Path:
    """The folder of a corpus."""
    for number, ids in enumerate(["abc", "def"]):
        files: dict[str, bytes] = {}
        for id_ in ids:
            files |= {f"{id_}.ogg": tone(0.5, hz=200.0 + ord(id_)), f"{id_}.txt": b""}
            files[f"{id_}.txt"] = TEXTS[id_].encode()
        shard = make_shard(files, shard=f"vn-{number:06}.tar")
    return shard.parent


def indexed(
    corpus: Path, *decisions: Correction, params: Any = PARAMS
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The manifest and its counts; decisions stand in lines 2 and on."""
    numbered = [dataclasses.replace(one, line=line) for line, one in enumerate(decisions, 2)]
    root = corpus.parents[2]
    counts = index(
        Corpus("vn", corpus, params, histories(numbered)), root / "vn.parquet", root / ".scratch/m"
    )
    return utterances.read(root / "vn.parquet").set_index("id"), counts


def test_without_decisions_no_byte_changes(corpus: Path) -> None:
    """Nor where all labels are right; the counts neither."""
    path = corpus.parents[2] / "vn.parquet"
    _, counts = indexed(corpus)
    before = path.read_bytes()
    assert indexed(corpus, of("a", "keep", was=TEXTS["a"]), of("e", "keep", was=""))[1] == counts
    assert path.read_bytes() == before
    assert not {"label", "corrected", "dropped"} & {*utterances.read(path), *counts["flags"]}


def test_a_text_takes_the_place_of_the_label(corpus: Path) -> None:
    """The label stays beside it, and no other row changes."""
    plain, _ = indexed(corpus)
    rows, counts = indexed(corpus, of("b", text=" おやすみなさい。\n", was=TEXTS["b"]))
    assert (rows["text"]["b"], rows["label"]["b"]) == ("おやすみなさい。", TEXTS["b"])
    assert rows["flags"]["b"].tolist() == ["corrected"]
    assert (counts["usable"], counts["flags"]["corrected"]) == (6, 1)
    assert "dropped" not in counts["flags"]
    others = rows.drop(index="b")
    assert others["label"].isna().all()
    pd.testing.assert_frame_equal(others.drop(columns="label"), plain.drop(index="b"))


def test_a_dropped_row_stays_with_its_reason(corpus: Path) -> None:
    """It is not usable, and is the same otherwise."""
    plain, _ = indexed(corpus)
    rows, counts = indexed(corpus, of("d", "drop", was=""))
    assert rows["flags"]["d"].tolist() == ["dropped"]
    assert (counts["utterances"], counts["usable"], counts["flags"]["dropped"]) == (6, 5, 1)
    assert rows["flags"].drop(index="d").map(len).eq(0).all()
    pd.testing.assert_frame_equal(rows.drop(columns="flags"), plain.drop(columns="flags"))


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("…。", "text_symbols"), ("HELLO", "text_charset"), ("あ" * 30, "too_fast"),
        ("おは\nよう", "text_multiline"), ("おは<br>よう", "text_markup"),
        (TEXTS["a"], "duplicate_text"),
    ],
)  # fmt: skip
def test_a_corrected_text_is_checked_as_any(corpus: Path, text: str, flag: str) -> None:
    """Its charset, its letters per second, repeats and all else."""
    rows, counts = indexed(corpus, of("f", text=text, was=""))
    assert {"corrected", flag} <= set(rows["flags"]["f"])
    assert counts["usable"] == 5


def test_a_corrected_text_may_have_times(corpus: Path) -> None:
    """In the notation of the corpus's own; one without takes those of the label away."""
    rows, _ = indexed(corpus, of("f", text="<|0.00|>おか<|0.20|><|0.20|>えり<|0.50|>", was=""))
    assert rows["text"]["f"] == "おかえり"
    assert [one["end_s"] for one in rows["sentences"]["f"]] == [0.2, 0.5]


def test_a_repeat_is_none_after_its_correction(corpus: Path) -> None:
    """The later row is used then."""
    twice = of("b", text=TEXTS["a"], was="")
    assert "duplicate_text" in indexed(corpus, twice)[0]["flags"]["b"]
    rows, _ = indexed(corpus, twice, of("b", text="こんばんは。", was=TEXTS["a"]))
    assert rows["flags"]["b"].tolist() == ["corrected"]


def test_a_dropped_row_may_have_what_must_not_occur(corpus: Path) -> None:
    """A person knows of it."""
    strict = dataclasses.replace(
        PARAMS, severity=dataclasses.replace(PARAMS.severity, text_charset="fail"),
        charset={"vn": "[ぁ-ん。、]"},
    )  # fmt: skip
    with pytest.raises(DataError, match=r"1 of 6 .*text_charset"):
        indexed(corpus, params=strict)
    rows, _ = indexed(corpus, of("a", "drop", was=""), params=strict)
    assert rows["flags"]["a"].tolist() == ["dropped", "text_charset"]


@pytest.mark.parametrize(
    "decisions",
    [
        [of("a", text="一。", was=TEXTS["a"]), of("a", text="二。", was="一。")],
        # As the manifest has the text, and not as it was written.
        [of("a", text=" 一<b>。", was=""), of("a", "drop", was="一。")],
        [of("a", "drop", was="no label"), of("a", text="二。", was=TEXTS["a"])],
        [of("a", text="一。", was=TEXTS["a"]), of("a", "keep", was="一。")],
        [of("a", text="一。", was=TEXTS["a"]), of("a", text=TEXTS["a"], was="一。")],
    ],
)  # fmt: skip
def test_a_decision_may_be_about_an_earlier_one(corpus: Path, decisions: list[Correction]) -> None:
    """The page shows the manifest's text, which may be a person's already."""
    clean = dataclasses.replace(PARAMS, clean={"vn": ("tags",)}, charset={})
    rows, _ = indexed(corpus, *decisions, params=clean)
    last = decisions[-1]
    wanted = {"text": last.text, "keep": TEXTS["a"], "drop": TEXTS["a"]}[last.what]
    assert rows["text"]["a"] == wanted


@pytest.mark.parametrize(
    "decisions",
    [
        [of("a", "drop", was="おはよう。")],
        [of("a", "keep", was="おはよう。")],
        # The first of these is about another label, and so is what it leads to.
        [of("a", text="一。", was="おはよう。"), of("a", text="おはよう。", was="一。")],
        [of("a", "drop", was=TEXTS["a"]), of("a", text="二。", was="一。")],
    ],
)
def test_another_label_is_refused(corpus: Path, decisions: list[Correction]) -> None:
    """With the line, the id, what was found and what to do."""
    last = decisions[-1]
    message = (
        rf"^corrections/vn\.tsv:{len(decisions) + 1}: id 'a' was '{last.was}' to 葉, but the "
        rf"corpus has '{TEXTS['a']}'; listen again, and add a line"
    )
    with pytest.raises(DataError, match=message):
        indexed(corpus, *decisions)


def test_an_id_that_is_not_there_is_refused(corpus: Path) -> None:
    """Whatever was decided about it; the old manifest stays."""
    path = corpus.parents[2] / "vn.parquet"
    indexed(corpus)
    before = path.read_bytes()
    decisions = [of("a"), *(of(f"x{number}", "keep") for number in range(5))]
    with pytest.raises(DataError) as caught:
        indexed(corpus, *(dataclasses.replace(one, was="") for one in decisions))
    first, *rest, last = str(caught.value).splitlines()
    assert first == "5 utterances that corrections/vn.tsv decides about are not there:"
    assert rest[0] == (
        "corrections/vn.tsv:3: id 'x0' is none of the corpus; correct it, or take out all of its "
        "lines"
    )
    assert (len(rest), "corrections --check" in last) == (3, True)
    assert path.read_bytes() == before


def test_each_corpus_has_its_decisions_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte by byte, so that lines have the same numbers; without a file, or in an empty one, none.

    A file that cannot be read stops the stage, and what was there before stays.
    """
    monkeypatch.chdir(tmp_path)
    copy, path = DECISIONS / "vn.tsv", path_of("vn")
    stage.main(["vn"])
    nothing = copy.read_text()
    assert nothing == f"{HEADER}\n"
    append(path_of("reading"), of())
    path.write_bytes(b"")
    stage.main(["vn"])
    assert copy.read_text() == nothing
    path.write_bytes(f"\ufeff{HEADER}\r\n\r\n{of()}\r\n".encode())
    stage.main(["vn"])
    assert copy.read_bytes() == path.read_bytes()
    assert [one.line for one in read(copy)] == [3]
    path.write_text("id\twhat\n")
    with pytest.raises(DataError, match=r"corrections/vn\.tsv:1"):
        stage.main(["vn"])
    assert read(copy) == [of()]


def test_drafts_wait_for_a_person(corpus: Path) -> None:
    """They are in no set, stop nothing and repeat nothing, until a decision takes them in."""
    path = corpus / "vn-000001.tar"
    shards.write_list(corpus, [Shard(corpus / "vn-000000.tar"), Shard(path, upstream_set="draft")])
    strict = dataclasses.replace(
        PARAMS, severity=dataclasses.replace(PARAMS.severity, text_charset="fail"),
        charset={"vn": "[ぁ-ん。、葵]"},
    )  # fmt: skip
    rows, counts = indexed(corpus, params=strict)
    assert [list(flags) for flags in rows["flags"]] == [[], [], []] + [["draft"]] * 3
    assert rows["upstream_set"].isna().all()
    assert (counts["usable"], counts["flags"]["draft"]) == (3, 3)
    decisions = [
        of("d", "keep", was=TEXTS["d"]), of("e", text="ただいま、葵。", was=TEXTS["e"]),
        of("f", "drop", was=""),
    ]  # fmt: skip
    rows, counts = indexed(corpus, *decisions, params=strict)
    assert [list(flags) for flags in rows["flags"]][3:] == [[], ["corrected"], ["dropped"]]
    assert (counts["usable"], "draft" in counts["flags"]) == (5, False)
    with pytest.raises(DataError, match="text_charset"):
        indexed(corpus, of("d", text="Bye", was=""), params=strict)


def test_pseudo_rows_are_trained_on_until_a_person_decides(corpus: Path) -> None:
    """Marked, in train alone; a decision takes the mark away, and moves none into a test set."""
    path = corpus / "vn-000001.tar"
    shards.write_list(corpus, [Shard(corpus / "vn-000000.tar"), Shard(path, upstream_set="pseudo")])
    rows, counts = indexed(corpus)
    assert [list(flags) for flags in rows["flags"]] == [[], [], []] + [["pseudo"]] * 3
    assert rows["upstream_set"].fillna("").tolist() == [""] * 3 + ["train"] * 3
    assert (counts["usable"], counts["flags"]["pseudo"]) == (6, 3)
    decisions = [of("d", "keep", was=TEXTS["d"]), of("e", text="ただいま、葵。", was=TEXTS["e"])]
    rows, _ = indexed(corpus, *decisions)
    assert [list(flags) for flags in rows["flags"]][3:] == [[], ["corrected"], ["pseudo"]]
    assert rows["upstream_set"].tolist()[3:] == ["train"] * 3


def test_a_draft_is_no_first_of_two_that_are_alike(corpus: Path) -> None:
    """Else what nobody has heard would leave out what somebody has."""
    shards.write_list(
        corpus,
        [Shard(corpus / "vn-000000.tar", upstream_set="draft"), Shard(corpus / "vn-000001.tar")],
    )
    same = [of("a", text=TEXTS["d"], was="")]
    assert indexed(corpus)[0]["flags"]["d"].tolist() == []
    assert "duplicate_text" in indexed(corpus, *same)[0]["flags"]["d"]
