"""The counts are those of compute-wer 0.2.3."""

import doctest
import json
import random
from pathlib import Path

import pytest

from galgame_asr.cli import dispatch
from galgame_asr.decoding import transcripts
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import DataError
from galgame_asr.scoring import compute_wer, sides
from galgame_asr.scoring.compute_wer import (
    Counts,
    align,
    count,
    count_pair,
    tokens,
)

# Written by `python -m benchmarks.scoring --record`.
RECORDED = json.loads(Path(__file__).with_name("compute_wer_0.2.3.json").read_text("utf-8"))


@pytest.mark.parametrize("pair", RECORDED["pairs"], ids=lambda pair: repr(pair["reference"]))
def test_pairs(pair: dict[str, str]) -> None:
    """Counts of single utterances: all scripts, punctuation, tags, spaces, nothing at all."""
    assert str(count_pair(pair["reference"], pair["hypothesis"])) == pair["printed"]


def test_summary() -> None:
    """All lines below the utterances; those of the scripts sorted."""
    pairs = [(pair["reference"], pair["hypothesis"]) for pair in RECORDED["pairs"]]
    assert str(count(pairs)).splitlines() == RECORDED["summary"]


def test_cases_beside_the_rules() -> None:
    assert not doctest.testmod(compute_wer).failed


def test_an_alignment_leads_from_one_text_to_the_other() -> None:
    """Operations cover both sides, each token once."""
    draw = random.Random(0)
    for _ in range(2000):
        reference, hypothesis = (
            "".join(draw.choices("あいー", k=draw.randint(0, 9))) for _ in "ab"
        )
        found = list(align(tokens(reference), tokens(hypothesis)))[::-1]
        kept = [token for operation, token in found if operation != "insertions"]
        assert "".join(kept) == reference
        assert len([1 for operation, _ in found if operation != "deletions"]) == len(hypothesis)


def test_published_line() -> None:
    """The format of the seed's published result."""
    counts = Counts(correct=15677, substitutions=2075, deletions=1908, insertions=1395)
    assert str(counts) == "27.36 % N=19660 Cor=15677 Sub=2075 Del=1908 Ins=1395"


def test_an_empty_reference_is_never_wrong() -> None:
    """As in the package: the insertions count, the sentence does not."""
    found = count([("", "うそ"), ("はい", "はい")])
    assert (found.overall.insertions, found.wrong_sentences) == (2, 0)
    assert str(count([])).startswith("Overall -> 0.00 % N=0")


def test_files_of_other_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ids in any order, tabs, spaces, no text; an id less, none, or one twice is an error."""
    reference, hypothesis = tmp_path / "ref", tmp_path / "hyp"
    reference.write_text("u1 明日は晴れ\nu2\nu3 テスト  です\nu4 \nu5\t東京タワー\n", "utf-8-sig")
    hypothesis.write_text("u5\t東京タワ\r\nu1 明日は雨\r\nu2 はい\r\nu3 テストです\r\nu4\r\n")
    dispatch(["compute-wer", str(reference), str(hypothesis)])
    # 5 + 5 + 5 characters: 晴れ is 雨, ー is lost, はい is made up.
    assert "Overall -> 33.33 % N=15 Cor=12 Sub=1 Del=2 Ins=2" in capsys.readouterr().out
    for text, message in (
        ("u1 明日は雨\nu2 はい\n", r"3 ids of .* are not in .*hyp: .u3., .u4., .u5."),
        ("", r"5 ids of .* are not in .*: .u1."),
        ("u1 あ\nu1 い\n", r"hyp:2: utterance 'u1' has a line above already"),
    ):
        hypothesis.write_text(text)
        with pytest.raises(DataError, match=message):
            dispatch(["compute-wer", str(reference), str(hypothesis)])
    for gone in (tmp_path / "none", tmp_path):
        with pytest.raises(DataError, match=f"{gone.name} cannot be read: "):
            dispatch(["compute-wer", str(reference), str(gone)])


def test_scp_files(tmp_path: Path) -> None:
    """Lines end at a line feed only; an id has one line."""
    path = tmp_path / "ref.txt"
    path.write_text("a\tはい うん\r\n\n b 二\u2028行\nc\n", encoding="utf-8")
    assert sides.read_lines(path) == {"a": "はい うん", "b": "二\u2028行", "c": ""}
    path.write_text("a はい\nb うん\na はい\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"ref\.txt:3: utterance 'a' has a line above already"):
        sides.read_lines(path)
    path.write_bytes("a はい\n".encode("shift-jis"))
    with pytest.raises(DataError, match="is not UTF-8"):
        sides.read_lines(path)


def test_both_files_have_the_same_ids(tmp_path: Path) -> None:
    """In whatever order; an id of one alone is named with both files, unseen characters shown."""
    ref, hyp = tmp_path / "ref", tmp_path / "hyp"
    ref.write_text("b うん\na はい\n")
    hyp.write_text("a はい\nb\n")
    assert sides.read(ref, hyp) == (["はい", "うん"], ["はい", ""])
    hyp.write_text("a はい\n\u200bb うん\nc\n")
    with pytest.raises(DataError, match=r"1 ids of .*ref are not in .*hyp: 'b'"):
        sides.read(ref, hyp)
    with pytest.raises(DataError, match=r"2 ids of .*hyp are not in .*ref: 'c', '\\u200bb'"):
        sides.read(hyp, ref)


def test_of_decoded_rows_those_of_one_corpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of its test rows, in domain or not, by their ids in the corpus; and of exactly these."""
    reference, decoded = tmp_path / "tail1000", tmp_path / "full.jsonl"
    reference.write_text("u1 はい\nx/u2 うん そう\n")
    heard = {
        "test": {"mine/u1": "はいい", "vn/u1": "なに", "mine2/u9": "なに"},
        "ood": {"mine/x/u2": "うん うそ"},
        "dev_sample": {"mine/u3": "なに"},
    }
    transcripts.write(
        decoded,
        {
            name: {k: Transcript(text, 3, -1.0) for k, text in of.items()}
            for name, of in heard.items()
        },
    )
    dispatch(["compute-wer", str(reference), str(decoded), "--corpus", "mine"])
    assert "Overall -> 50.00 % N=6 Cor=4 Sub=2 Del=0 Ins=1" in capsys.readouterr().out
    with pytest.raises(DataError, match="no test row of corpus min; its corpora: mine, mine2, vn"):
        dispatch(["compute-wer", str(reference), str(decoded), "--corpus", "min"])
    reference.write_text("u1 はい\nu2 うん\n")
    with pytest.raises(DataError, match=r"1 ids of .*tail1000 are not in .*full\.jsonl: 'u2'"):
        dispatch(["compute-wer", str(reference), str(decoded), "--corpus", "mine"])
