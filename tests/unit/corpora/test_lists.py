"""Lists that other trainers read are read as they are."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from galgame_asr.core.params import parse
from galgame_asr.core.reader import ShardReader
from galgame_asr.corpora.folder.params import Folder
from galgame_asr.messages.errors import DataError
from tests.corpora import Row, manifest, put
from tests.fuzz_readers import SPEECH, WAV, encoded
from tests.recordings import RATE_HZ

YES, NO = "はい", "いいえ"
SAMPLES, _ = sf.read(io.BytesIO(WAV), dtype="float32")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return put(tmp_path / "mine", {"wav/a.wav": WAV, "wav/b.wav": encoded("AIFF")})


def fetched(path: Path, **keys: Any) -> dict[str, Row]:
    values = {"kind": "folder", "path": str(path), "shard_size": 10} | keys
    return manifest(parse(Folder, values, "corpora.c"))


def texts(rows: dict[str, Row]) -> dict[str, str]:
    """The texts of rows, none of which has a flag."""
    assert [row["flags"] for row in rows.values()] == [[]] * len(rows)
    return {id_: row["text"] for id_, row in rows.items()}


def jsonl(*rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def messages(path: str, text: str, prompt: str = "语音转写成日文：") -> list[dict[str, str]]:
    return [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": f"{prompt}<|startofspeech|>!{path}<|endofspeech|>"},
        {"role": "assistant", "content": text},
    ]


def test_messages_of_funasr(mine: Path) -> None:
    """The key is the id, the prompt goes, and the text is what the assistant says."""
    first = {"key": "u/1", "messages": messages(f"{mine}/wav/a.wav", YES), "speech_length": 25}
    prompted = messages(f"{mine}/wav/b.wav", NO, "热词列表：[はい]\n语音转写：")
    put(mine, {"train.jsonl": jsonl(first, {"messages": prompted[1:]})})
    rows = fetched(mine / "train.jsonl")
    assert texts(rows) == {"u/1": YES, f"{mine}/wav/b"[1:]: NO}
    read = ShardReader(Path("data/raw")).read_row(rows["u/1"])
    np.testing.assert_array_equal(read, SAMPLES)


def test_lists_of_whisper_finetune(mine: Path) -> None:
    """A sentence, or several as one; start_time and end_time are a part of the file."""
    sentences = [{"start": 0, "end": 0.1, "text": YES}, {"start": 0.1, "end": 0.2, "text": "。"}]
    whole = {"audio": {"path": "wav/b.wav"}, "sentence": NO, "language": "Japanese"}
    part = {"audio": {"path": "wav/a.wav", "start_time": 0.05, "end_time": 0.2}, "duration": 0.15}
    put(mine, {"train.json": jsonl(whole, part | {"sentences": sentences})})
    rows = fetched(mine / "train.json")
    assert texts(rows) == {"wav/a-0.050-0.200": f"{YES}。", "wav/b": NO}
    read = ShardReader(Path("data/raw")).read_row(rows["wav/a-0.050-0.200"])
    np.testing.assert_array_equal(read, SAMPLES[800:3200])
    assert len(SPEECH) > 3200 == 0.2 * RATE_HZ


@pytest.mark.parametrize("copy", [True, False])
def test_times_of_sentences_are_kept(mine: Path, copy: bool) -> None:
    """With the texts of the sentences, which a sentence beside them may punctuate otherwise."""
    times = [(0, 0.1), (0.1, 0.2)]
    lines: dict[str, tuple[Row, list[str], list[str]]] = {
        "a": ({"sentence": "Yes. No!"}, ["Yes.", "No!"], ["Yes.", " No!"]),
        "b": ({"sentence": "はい！いいえ。"}, ["はい。", "いいえ。"], ["はい。", "いいえ。"]),
        "c": ({}, ["Yes. ", " No!"], ["Yes.", " No!"]),
        "d": ({}, ["", NO], [NO]),
    }
    table = [
        {"audio": {"path": f"wav/{name}.wav"}}
        | row
        | {
            "sentences": [
                {"start": start, "end": end, "text": text}
                for (start, end), text in zip(times, said, strict=True)
            ]
        }
        for name, (row, said, _) in lines.items()
    ]
    untimed = {"audio": {"path": "wav/e.wav"}, "sentence": NO, "sentences": [{"text": "no times"}]}
    put(mine, {"wav/c.wav": encoded("FLAC"), "wav/d.wav": encoded("W64"), "wav/e.wav": WAV + b"0"})
    put(mine, {"train.json": jsonl(*table, untimed)})
    rows = fetched(mine / "train.json", copy=copy)
    for name, (_, _, expected) in lines.items():
        row = rows[f"wav/{name}"]
        assert [one["text"] for one in row["sentences"]] == expected
        found = [(one["start_s"], one["end_s"]) for one in row["sentences"]]
        assert found == times[-len(expected) :]
        assert row["text"] == "".join(expected)
        assert not [flag for flag in row["flags"] if flag.startswith("text")]
    assert (rows["wav/e"]["text"], rows["wav/e"]["sentences"]) == (NO, None)


@pytest.mark.parametrize("name", ["lists/train.jsonl", "lists/wav.scp", "lists/t.tsv"])
def test_paths_start_at_the_list_or_above(mine: Path, name: str) -> None:
    """Trainers' lists name files from where the trainer ran; one folder holds for all rows."""
    # Above it is another recording of the name that the list's own folder lacks.
    put(mine, {"lists/x/wav/a.wav": encoded("W64"), "wav/c.wav": encoded("FLAC")})
    paths = {"u1": "wav/a.wav", "u2": "wav/b.wav"}
    put(
        mine,
        {
            "lists/train.jsonl": jsonl(
                *({"key": u, "messages": messages(path, u)} for u, path in paths.items())
            ),
            "lists/wav.scp": "".join(f"{u} {path}\n" for u, path in paths.items()),
            "lists/text": "".join(f"{u} {u}\n" for u in paths),
            "lists/t.tsv": "id\taudio\ttext\n"
            + "".join(f"{u}\t{path}\t{u}\n" for u, path in paths.items()),
            "lists/x/t.tsv": "id\taudio\ttext\nu1\twav/a.wav\tu1\nu3\twav/c.wav\tu3\n",
        },
    )
    path = mine / name
    assert texts(fetched(path.parent if path.name == "wav.scp" else path)) == {u: u for u in paths}
    Path("data/raw/c/c-000000.tar").unlink()
    rows = fetched(mine / "lists/x/t.tsv")
    assert [rows[u]["flags"] for u in ("u1", "u3")] == [[], ["audio_missing"]]


FIRST = {"start": 0, "end": 0.5, "text": YES}
TIMES: list[tuple[dict[str, Any], str]] = [
    ({"start": 2, "end": 1}, "2 to 1"),
    ({"start": -1, "end": 1}, "-1 to 1"),
    ({"start": "x", "end": 1}, "x to 1"),
    ({"start": 1, "end": math.inf}, "1 to inf"),
    ({"start": 1}, "1 to None"),
    ({}, "None to None"),
]
BOTH = [*messages("a.wav", YES), *messages("b.wav", NO)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": [{"role": "user"}]}, 'messages is .*"user".*; allowed: one .*"assistant"'),
        ({"messages": BOTH}, "messages is .*; allowed: one"),
        ({"messages": messages("a.wav<|endofspeech|><|startofspeech|>!b.wav", YES)}, "allowed: o"),
        ({"messages": messages("a.wav", YES)[2:]}, "messages is .*; allowed: one"),
        ({"messages": {"role": "user"}}, "messages is .*; allowed: one"),
        ({"messages": ["user"]}, "messages is .*; allowed: one"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages is .*tool.*; allowed: one"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, r"content is \[\"x\"\] \(list\)"),
        ({"messages": messages("", YES)}, "audio is ''; allowed: the path of a file"),
        ({"audio": {"array": [0.5]}, "sentence": YES}, "audio has no path; its keys: 'array'"),
        ({"audio": {"path": 1}, "sentence": YES}, r"audio: path is 1 \(int\)"),
        ({"audio": {"path": "a.wav"}, "sentence": 1}, r"sentence is 1 \(int\); allowed: text"),
        ({"audio": {"path": "a.wav"}, "sentences": [YES]}, "sentences is .*; allowed: a list like"),
        (
            {"audio": {"path": "a.wav", "start_time": 1, "end_time": 0.5}, "sentence": YES},
            "audio is from 1 to 0.5; allowed",
        ),
        (
            {"audio": {"path": "a.wav", "start_time": 10**400}, "sentence": YES},
            "to None; allowed",
        ),
        *(
            (
                {"audio": {"path": "a.wav"}, "sentences": [FIRST, {"text": NO, **times}]},
                f"sentences: 'いいえ' is from {found}; allowed: start and end in seconds",
            )
            for times, found in TIMES
        ),
        (
            {"audio": {"path": "a.wav"}, "sentences": [FIRST, FIRST | {"start": 0.4}]},
            "'はい' is from 0.4 to 0.5, and the one before it to 0.5; allowed: one by one",
        ),
        (
            {"audio": {"path": "a.wav"}, "sentence": NO, "sentences": [FIRST]},
            "sentences say 'はい', and sentence 'いいえ'; allowed: the same",
        ),
        ({"source": "a.wav", "target": YES}, "no column audio; its columns: .*FunASR's messages"),
    ],
)
def test_a_line_that_is_none_is_named(mine: Path, row: dict[str, Any], message: str) -> None:
    """With what was found and what is allowed."""
    put(mine, {"t.jsonl": jsonl({"audio": "a.wav", "text": YES}, row)})
    with pytest.raises(DataError, match=rf"corpora\.c\.path: .*t\.jsonl line 2.* {message}"):
        fetched(mine / "t.jsonl")


def test_own_names_of_kaldis_lists(mine: Path) -> None:
    """As the seed has them in one folder: two pairs of lists, of which one is the corpus."""
    put(
        mine,
        {
            "train_wav.scp": f"u1 {mine}/wav/a.wav\nu2 {mine}/wav/b.wav\n",
            "train_text.txt": f"u1 {YES}\nu2 {NO}\n",
            "wav.scp": "u9 wav/a.wav\n",
            "segments": "u8 u9 0 0.2\n",
            "parts": "u1-1 u1 0 0.2\n",
        },
    )
    names = {"wav_scp": "train_wav.scp", "text": "train_text.txt"}
    assert texts(fetched(mine, kaldi=names)) == {"u1": YES, "u2": NO}
    Path("data/raw/c/c-000000.tar").unlink()
    rows = fetched(mine, kaldi=names | {"segments": "parts"})
    assert set(rows) == {"u1", "u2", "u1-1"}
    assert rows["u1-1"]["duration_s"] == 0.2
    for key in ("wav_scp", "text", "segments"):
        with pytest.raises(DataError, match=r"corpora\.c\.path: .*mine/none cannot be read: No su"):
            fetched(mine, kaldi=names | {key: "none"})


@pytest.fixture
def five(mine: Path) -> Path:
    """Five recordings under lists of the seed's names, two of them of the same samples."""
    names = [f"u{number}" for number in range(5)]
    sounds = [WAV, encoded("FLAC"), encoded("AIFF"), encoded("W64"), WAV]
    put(mine, {f"wav/{name}.wav": sound for name, sound in zip(names, sounds, strict=True)})
    put(mine, {"wav.scp": "".join(f"{name} {mine}/wav/{name}.wav\n" for name in names)})
    return put(mine, {"text": "".join(f"{name} {name} {YES}\n" for name in names)})


def sets(rows: dict[str, Row]) -> dict[str, str | None]:
    chosen = {id_: row["upstream_set"] for id_, row in rows.items()}
    return {id_: set_ if isinstance(set_, str) else None for id_, set_ in chosen.items()}


TESTED = {"u0": None, "u1": None, "u2": None, "u3": "test", "u4": "test"}


@pytest.mark.parametrize(
    "lines",
    [
        "u3\nu4\n",
        "\ufeffu4\r\n\r\nu3 \r\nu4",
        "u3 /old/u3.wav\nu4\t/old/u4.wav\n",  # tail of wav.scp
        f"u3 u3 {YES}\nu4 u4 {YES}\n",  # of text
    ],
)
def test_ids_are_the_test_set(five: Path, lines: str) -> None:
    """As ids alone, or as lines of the lists that the ids were taken from; the rest is free."""
    rows = fetched(five, test_ids=str(put(five, {"tail": lines}) / "tail"), shard_size=1)
    assert sets(rows) == TESTED
    assert {id_: row["shard"][2:-11] for id_, row in rows.items()} == {
        id_: "c-train" if set_ is None else "c-test" for id_, set_ in TESTED.items()
    }
    read = ShardReader(Path("data/raw")).read_row(rows["u4"])
    np.testing.assert_array_equal(read, SAMPLES)


def test_of_two_equal_rows_the_training_row_is_flagged(five: Path) -> None:
    """Though the test row comes later in the list: the test set stays whole."""
    rows = fetched(five, test_ids=str(put(five, {"tail": "u4"}) / "tail"))
    assert (rows["u0"]["flags"], rows["u4"]["flags"]) == (["duplicate_audio"], [])
    assert fetched_again(five)["u4"]["flags"] == ["duplicate_audio"]


def fetched_again(path: Path) -> dict[str, Row]:
    for file in Path("data/raw/c").iterdir():
        file.unlink()
    return fetched(path)


def test_ids_of_a_table(mine: Path) -> None:
    """As trainers part their sets: a file for each, of the same lines; an id may have blanks."""
    rows = [{"audio": {"path": f"wav/{name}.wav"}, "sentence": name} for name in ("a", "b")]
    put(mine, {"all.json": jsonl(*rows), "test.json": jsonl(rows[1])})
    assert sets(fetched(mine / "all.json", test_ids=str(mine / "test.json"))) == {
        "wav/a": None, "wav/b": "test",
    }  # fmt: skip
    put(mine, {"c d.wav": encoded("FLAC"), "ids": "c d\n"})
    Path("data/raw/c/c-test-000000.tar").unlink()
    Path("data/raw/c/c-train-000000.tar").unlink()
    assert sets(fetched(mine, test_ids=str(mine / "ids")))["c d"] == "test"


def test_a_corpus_may_be_all_test(five: Path) -> None:
    """Every id of it; then nothing of it is trained on."""
    rows = fetched(five, test_ids=str(five / "text"))
    assert set(sets(rows).values()) == {"test"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "u3\nu9\nv9\n",
            r"tail has 2 of 3 ids that the corpus has not, such as 'u9', 'v9'; .*'u0'",
        ),
        ("\n \n", "tail names no id"),
        ("はい\n".encode("cp932"), "tail line 1 is not UTF-8"),
        (None, "tail cannot be read: No such file"),
    ],
)
def test_ids_that_are_not_there_are_an_error(
    five: Path, lines: str | bytes | None, message: str
) -> None:
    """With the key of params, the file, and how ids of the corpus look."""
    if lines is not None:
        put(five, {"tail": lines})
    with pytest.raises(DataError, match=rf"corpora\.c\.test_ids: .*mine/{message}"):
        fetched(five, test_ids=str(five / "tail"))
    assert not list(Path("data/raw/c").iterdir())
