"""What is shown, decided and undone; the file is all that is kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from galgame_asr.labelling.desk import ConflictError, Decision, Desk, Filter
from galgame_asr.labelling.queues import Item
from galgame_asr.manifests import corrections
from galgame_asr.manifests.corrections import What
from galgame_asr.messages.errors import DataError

ALL = Filter()


def items() -> Iterator[Item]:
    for number, label in enumerate(["はい。", "いいえ", "Ｖ.Ｎ.です", "葵、おはよう"]):
        proposal = None if number == 3 else f"{label}ね"
        tags = ("odd",) if number % 2 else ("even", "rest")
        yield Item(f"{number}", label, number != 2, proposal, tags, "", 1.0, {})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk with four utterances, 0 to 3."""
    return another(tmp_path)


def another(folder: Path) -> Desk:
    return Desk(list(items()), folder / "corrections/vn.tsv", "mei", "audit")


def decide(
    desk: Desk, id_: str, what: What, text: str = "", among: Filter = ALL
) -> tuple[Decision, str | None]:
    return desk.decide(id_, what, text, "", desk.view(id_, ALL)["decision"], among)


def test_a_decision_is_a_line(desk: Desk) -> None:
    """With the label that was heard, who, when and why; then the next open utterance comes."""
    made, following = decide(desk, "0", "text", " はいね\n")
    (line,) = corrections.read(desk.path)
    assert (line.id, line.what, line.was, line.text) == ("0", "text", "はい。", "はいね")
    assert (line.by, line.why) == ("mei", "audit")
    assert made == {name: getattr(line, name) for name in ("what", "text", "by", "when", "why")}
    assert following == "1"
    desk.decide("1", "drop", "", "two\tspeakers", None, ALL)
    assert corrections.read(desk.path)[1].why == "two speakers"


def test_the_label_as_it_is_is_kept(desk: Desk) -> None:
    """A text that is the label corrects nothing; a blank one is no label.

    Of a label that came by an earlier correction, `keep` would be the corpus's own again.
    """
    decide(desk, "0", "text", "はい。")
    decide(desk, "2", "text", "Ｖ.Ｎ.です")
    found = [(line.what, line.text) for line in corrections.read(desk.path)]
    assert found == [("keep", ""), ("text", "Ｖ.Ｎ.です")]
    with pytest.raises(DataError, match="new text is empty"):
        decide(desk, "1", "text", "　\n")
    assert len(corrections.read(desk.path)) == 2


def test_two_desks_see_the_same(desk: Desk, tmp_path: Path) -> None:
    """Two servers, or one after a kill: what one decided the other shows, and does not repeat."""
    other = another(tmp_path)
    assert other.view("0", ALL)["counts"] == {"keep": 0, "text": 0, "drop": 0}
    decide(desk, "0", "drop")
    assert other.view("0", ALL)["decision"]["what"] == "drop"
    assert other.first(ALL) == "1"
    with pytest.raises(ConflictError, match="decided elsewhere"):
        other.decide("0", "keep", "", "", None, ALL)
    assert len(corrections.read(desk.path)) == 1
    desk.path.unlink()
    assert other.view("0", ALL)["decision"] is None


def test_undo_leaves_the_file_as_it_was(desk: Desk, tmp_path: Path) -> None:
    """Byte by byte, whatever was decided of others since; the decision before counts again."""
    decide(desk, "0", "drop")
    before = desk.path.read_bytes()
    made, _ = decide(desk, "0", "text", "はいよ")
    assert desk.view("0", ALL)["decision"]["text"] == "はいよ"
    desk.undo("0", made)
    assert desk.path.read_bytes() == before
    assert desk.view("0", ALL)["decision"]["what"] == "drop"
    made, _ = decide(desk, "1", "keep")
    decide(another(tmp_path), "2", "keep")
    desk.undo("1", made)
    assert list(desk.decisions()) == ["0", "2"]


def test_what_another_decided_is_not_undone(desk: Desk, tmp_path: Path) -> None:
    """A line behind one's own stays, and one that is gone is not looked for."""
    made, _ = decide(desk, "0", "drop")
    decide(another(tmp_path), "0", "keep")
    before = desk.path.read_bytes()
    with pytest.raises(ConflictError, match="nothing was undone"):
        desk.undo("0", made)
    assert desk.path.read_bytes() == before
    with pytest.raises(ConflictError):
        desk.undo("3", made)


def test_next_is_the_next_open_one(desk: Desk) -> None:
    """Behind, else from the start; None when all are decided."""
    assert decide(desk, "2", "keep")[1] == "3"
    assert decide(desk, "1", "keep")[1] == "3"
    assert decide(desk, "3", "keep")[1] == "0"
    assert decide(desk, "0", "keep")[1] is None
    assert desk.first(ALL) == "0"
    # Of the decided ones the next is simply the next.
    assert decide(desk, "1", "drop", among=Filter(show="decided"))[1] == "2"


@pytest.mark.parametrize(
    ("among", "ids"),
    [
        (ALL, "0123"), (Filter(show="open"), "23"), (Filter(show="decided"), "01"),
        (Filter(show="text"), "0"), (Filter(show="drop"), "1"), (Filter(show="keep"), ""),
        (Filter(tag="odd"), "13"), (Filter(tag="rest", show="open"), "2"),
        (Filter(search=" v.n. "), "2"), (Filter(search="ね"), "012"), (Filter(search="3"), "3"),
        (Filter(search="新しい"), "0"), (Filter(search="無い"), ""),
    ],
)  # fmt: skip
def test_filters_choose(desk: Desk, among: Filter, ids: str) -> None:
    """By decision, tag and text of any width; neighbours and place are among what matches."""
    decide(desk, "0", "text", "新しい")
    decide(desk, "1", "drop")
    assert [id_ for id_ in "0123" if desk.view(id_, among)["nth"]] == list(ids)
    for place, id_ in enumerate(ids):
        view = desk.view(id_, among)
        assert (view["nth"], view["matching"]) == (place + 1, len(ids))
        assert view["previous"] == (ids[place - 1] if place else None)
        assert view["next"] == (ids[place + 1] if place + 1 < len(ids) else None)


def test_a_view_marks_the_difference(desk: Desk) -> None:
    """As runs: equal, or label and proposal; without a proposal there is none."""
    item = desk.view("0", ALL)["item"]
    assert item["difference"] == ["はい。", ["", "ね"]]
    assert desk.view("3", ALL)["item"]["difference"] == []
    assert desk.view(None, Filter(search="無い"))["item"] is None
    assert desk.tags() == ["even", "rest", "odd"]


def test_a_damaged_file_is_told(desk: Desk) -> None:
    """Such as one with marks of a merge; nothing is written to it."""
    decide(desk, "0", "keep")
    damaged = desk.path.read_bytes() + b"<<<<<<< HEAD\n"
    desk.path.write_bytes(damaged)
    for act in (lambda: desk.view("0", ALL), lambda: decide(desk, "1", "keep")):
        with pytest.raises(DataError, match=r"vn.tsv:3"):
            act()
    assert desk.path.read_bytes() == damaged
