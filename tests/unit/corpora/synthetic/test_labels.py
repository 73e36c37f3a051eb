"""Wrong labels are as many as asked for, wrong, and known."""

from collections import Counter
from dataclasses import replace

from galgame_asr.corpora.synthetic import fetch
from galgame_asr.corpora.synthetic.labels import WAYS, corrupt
from galgame_asr.corpora.synthetic.params import Synthetic
from galgame_asr.text.normalise import normalise

RIGHT = Synthetic(kind="synthetic", recipe="vn", utterances=1000, seed=1, shard_size=256)
WRONG = replace(RIGHT, corrupt_labels=0.05)


def test_the_truth_is_the_corpus_without() -> None:
    """Ids, voices and what is said are the same, and exactly so many labels differ."""
    right, wrong = fetch.compose(RIGHT), fetch.compose(WRONG)
    assert [replace(line, text="") for line in right] == [replace(line, text="") for line in wrong]
    assert all(line.text == line.spoken for line in right)
    differ = [
        a.id for a, b in zip(right, wrong, strict=True) if normalise(a.text) != normalise(b.text)
    ]
    texts = {line.id: line.text for line in right}
    assert set(differ) == set(corrupt(texts, 0.05, RIGHT.seed))
    assert len(differ) == 50


def test_each_way_is_as_often() -> None:
    """And does what it is called."""
    texts = {line.id: line.text for line in fetch.compose(RIGHT)}
    wrong = corrupt(texts, 0.05, 1)
    assert Counter(one.way for one in wrong.values()) == dict.fromkeys(WAYS, 10)
    of = {way: {id_: one.text for id_, one in wrong.items() if one.way == way} for way in WAYS}
    assert sorted(of["swapped"].values()) == sorted(texts[id_] for id_ in of["swapped"])
    for id_, text in of["cut"].items():
        assert texts[id_].startswith(text.rstrip("。！？"))
    for id_, text in of["lengthened"].items():
        assert text.startswith(texts[id_].rstrip("。！？"))
        assert len(text) > len(texts[id_])
    for id_, text in of["other_kana"].items():
        assert len(text) == len(texts[id_])
    assert set(of["other_sentence"].values()) <= set(texts.values())


def test_few_utterances_have_wrong_labels_too() -> None:
    """One alone has none to be swapped with, and gets another sentence."""
    texts = {"a": "葵。", "b": "葵。", "c": "凛が好き。"}
    for seed in range(20):
        wrong = corrupt(texts, 0.9, seed)
        assert len(wrong) == 3
        assert all(one.text != texts[id_] for id_, one in wrong.items())
