"""What reads files of people, with files that are as they should be, for tests.fuzz."""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Hashable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from galgame_asr import cli
from galgame_asr.baselines.common.transcribe import Run
from galgame_asr.baselines.transcripts import formats
from galgame_asr.baselines.transcripts.params import TranscriptsFile
from galgame_asr.baselines.transcripts.transcribe import transcribe as theirs_of
from galgame_asr.core import utterances
from galgame_asr.core.params import load, parse, read_yaml
from galgame_asr.core.reader import ShardReader
from galgame_asr.corpora.aishell.params import Aishell
from galgame_asr.corpora.common import fetch as corpora
from galgame_asr.corpora.folder.fetch import recordings
from galgame_asr.corpora.folder.params import Folder
from galgame_asr.corpora.hub_dataset.params import HubDataset
from galgame_asr.corpora.recordings import containers, subtitles
from galgame_asr.corpora.synthetic import ogg
from galgame_asr.decoding import transcripts
from galgame_asr.experiment import profile
from galgame_asr.experiment.params import Params
from galgame_asr.manifests import corrections
from galgame_asr.manifests.index import Corpus, _index_shard
from galgame_asr.manifests.params import ManifestParams
from galgame_asr.messages.errors import DataError
from galgame_asr.report import results_file
from galgame_asr.scoring import groups
from galgame_asr.scoring.params import ScoreParams
from galgame_asr.shards import folder as shards
from galgame_asr.shards import tar
from galgame_asr.splitting import exclusions
from tests.conftest import REPOSITORY
from tests.fuzz import Files, Reader
from tests.recordings import RATE_HZ, speak, write

MANIFEST = parse(
    ManifestParams,
    read_yaml(REPOSITORY / "params.yaml")["manifest"]
    | {"signal": read_yaml(REPOSITORY / "params.yaml")["manifest"]["signal"] | {"share": 1.0}},
    "manifest",
)
# The one utterance that `handed_on` shares with the workspace.
OWN = pd.DataFrame([{"set": "test", "id": "vn/u1", "truth": "あ", "key": "a" * 32}])
SPEECH = speak("はい。")[: RATE_HZ // 2]
NUMBERS = (b"-1", b"0", b"9" * 30, b"9" * 5000, b"1e400", b"NaN", b"Infinity", "１２".encode())
TEXT = (
    b"\xef\xbb\xbf", b"\0", b"\r", b"\r\n", b"\n\n", b"\t", b" ", b"\t\t\t", "\u3000".encode(),
    "\u2028".encode(), b"\xff\xfe", "は".encode("utf-16"), "はい".encode("cp932"), b"\xed\xa0\x80",
    b"..", b"/", b".", b"../../etc/passwd", b"a" * 300, b"a/" * 3000, b"<|0.00|>", b"<|0.10|>",
    *NUMBERS,
)  # fmt: skip
JSON = (
    b"null", b"true", b"[]", b"{}", b'""', b'{"audio": "a.wav"}', b'"\\ud800"', b'"\\u0000"', b'"',
    b"[" * 100_000, b',"audio":1', b',"text":"x"', b"}\n{",
    b"<|startofspeech|>!", b"<|endofspeech|>", b'"messages"', b'"role"', b'"sentences"',
)  # fmt: skip
YAML = (
    b"{", b"[", b"- ", b"? ", b": ", b"&a ", b"*a", b"!!python/name:os.system ", b"!!binary |\n",
    b"2020-01-01", b".nan", b".inf", b"~", b"<<: ", b"1: 2\n", b"---\n", b"...\n", b"%YAML 9.9\n",
    b"\t", b"#", b"|", b">", b"[" * 3000, b"{a: " * 3000, b"!!set {a}", b"!!omap [a: 1]",
)  # fmt: skip


def encoded(kind: str, subtype: str | None = None, *, channels: int = 1, **how: Any) -> bytes:
    """The sentence in a format of libsndfile."""
    buffer = io.BytesIO()
    rate_hz = how.pop("rate_hz", RATE_HZ)
    samples = np.stack([SPEECH] * channels, 1)
    sf.write(buffer, samples, rate_hz, format=kind, subtype=subtype, **how)
    data = buffer.getvalue()
    if (at := data.find(b"PEAK")) > 0:  # a chunk of float files that holds the time
        data = data[: at + 12] + bytes(4) + data[at + 16 :]
    return ogg.with_fixed_serial(data) if kind == "OGG" else data


def contained(suffix: str, *, video: bool = False) -> bytes:
    """The sentence in a container of FFmpeg."""
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / f"a{suffix}"
        write(path, SPEECH, video=video)
        return path.read_bytes()


def index(name: str, directory: Path) -> list[dict[Hashable, Any]]:
    """The rows of a corpus, as stage manifest makes them, in this process; their audio is read."""
    rows: list[dict[Hashable, Any]] = []
    for shard in shards.listed(directory):
        with TemporaryDirectory() as scratch:
            part = _index_shard(shard, Corpus(name, directory, MANIFEST), Path(scratch))
            rows += utterances.read(part.path).to_dict("records")
    reader = ShardReader(directory.parent)
    for row in rows:
        if row["offset"] >= 0:
            assert np.isfinite(row["duration_s"]), row
            assert row["duration_s"] >= 0, row
            read(reader, row)
    return rows


def read(reader: ShardReader, row: Mapping[Hashable, Any]) -> None:
    """Read the audio of a row as training does: it is there, or its id is named."""
    try:
        samples = reader.read_row(row)
        assert np.isfinite(samples).all()
    except DataError as error:
        if str(row["id"]) not in str(error):
            raise


def audio(folder: Path) -> None:
    """A shard with one recording, as stages manifest and train read it."""
    (path,) = folder.iterdir()
    directory = folder / "raw" / "c"
    directory.mkdir(parents=True)
    tar.write(directory / "c.tar", [(path.name, path.read_bytes()), ("a.txt", "はい".encode())])
    shards.write_list(directory, [shards.Shard(directory / "c.tar")])
    (row,) = index("c", directory)
    assert row["audio_hash"] or "audio_empty" in row["flags"]


def recording(folder: Path) -> None:
    """A file as commands transcribe and subtitle read it."""
    (path,) = folder.iterdir()
    containers.duration_s(path)
    for block in containers.read(path):
        assert np.isfinite(block).all()


def tars(folder: Path) -> None:
    """A shard that somebody else wrote."""
    directory = folder / "raw" / "c"
    directory.mkdir(parents=True)
    shutil.move(folder / "c.tar", directory)
    shards.write_list(directory, [shards.Shard(directory / "c.tar")])
    index("c", directory)


def fetched(corpus: corpora.Entry, folder: Path) -> list[dict[Hashable, Any]]:
    """The manifest of a corpus."""
    directory = folder / "raw" / "c"
    directory.mkdir(parents=True)
    corpora.fetch("c", corpus, directory)
    return index("c", directory)


def own(name: str, folder: Path, *, test_ids: str | None = None, copy: bool = True) -> None:
    """A corpus of kind folder: a table, or with no name the folder itself."""
    inside = folder / "files"
    inside.mkdir()
    for path in list(folder.iterdir()):
        if path != inside:
            path.rename(inside / path.name)
    path = inside / name
    listed = test_ids and str(inside / test_ids)
    corpus = Folder(kind="folder", path=str(path), shard_size=2, test_ids=listed, copy=copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GALGAME_ASR_SCRATCH", str(folder / "scratch"))
        rows = fetched(corpus, folder)
    ids = {recording.id for recording in recordings(path)}
    assert {row["id"] for row in rows} == ids, "rows of other ids"


def parquet(folder: Path) -> None:
    """A data set of parquet files."""
    values: dict[str, Any] = {
        "kind": "hub_dataset", "repo": str(folder), "revision": None, "config": None,
        "splits": {"train": None}, "audio_column": "audio", "text_column": "text", "shard_size": 9,
    }  # fmt: skip
    with TemporaryDirectory() as temporary:
        fetched(parse(HubDataset, values, "corpora.c"), Path(temporary))


def aishell(folder: Path) -> None:
    """AISHELL's archive; what arrived whole may still be another file."""
    (path,) = folder.iterdir()
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    values = {"kind": "aishell", "url": str(path), "md5": md5, "shard_size": 9}
    corpus = parse(Aishell, values | {"restore_punctuation": None}, "corpora.c")
    fetched(corpus, folder)


def compute_wer(folder: Path) -> None:
    """References and hypotheses of the command."""
    cli.dispatch(["compute-wer", str(folder / "ref"), str(folder / "hyp")])


def params(folder: Path) -> None:
    """The params of an experiment."""
    file = folder / "params.yaml"
    parse(Params, read_yaml(file), "", file=file)


def profiles(folder: Path) -> None:
    """A profile over params.yaml."""
    with TemporaryDirectory() as temporary:
        file = Path(shutil.copy(REPOSITORY / "params.yaml", temporary))
        profile.apply(["mine"], file=file, directory=folder)


def theirs(folder: Path) -> None:
    """Transcripts of another program, as stage baseline reads and writes them."""
    rows = pd.DataFrame({"corpus": ["vn", "vn"], "id": ["u1", "u2"]})
    for format_ in formats.READERS:
        if (path := folder / f"a.{format_}").exists():
            values = {"kind": "transcripts", "path": str(path), "format": format_}
            entry = parse(TranscriptsFile, values | {"missing": "empty"}, "baselines.x")
            said = theirs_of(entry, {"test": rows}, cast("Run", None))["none"]
            transcripts.write(folder / "out.jsonl", said)
            assert transcripts.read(folder / "out.jsonl") == said


def decoded(folder: Path) -> None:
    """Transcripts of stage decode, which people edit."""
    transcripts.read(folder / "a.jsonl")


def tables(folder: Path) -> None:
    """A manifest."""
    utterances.read(folder / "c.parquet")


def excluded(folder: Path) -> None:
    """Utterances that people leave out."""
    exclusions.read(folder, ["vn"])


def grouped(folder: Path) -> None:
    """Groups of utterances that people list."""
    groups.read({}, ["vn"], folder)


def corrected(folder: Path) -> None:
    """Decisions about labels, which are read and added to."""
    path = folder / "vn.tsv"
    before = corrections.read(path)
    one = corrections.Correction("u1", "drop", "", "", "葉", "2026-11-26T09:58:43Z")
    corrections.append(path, one)
    assert corrections.read(path) == [*before, one]


def shown(folder: Path) -> None:
    """Subtitles, of which there is one file."""
    (path,) = folder.iterdir()
    cues = subtitles.read(path)
    assert all(0 <= cue.start_s < cue.end_s and cue.text for cue in cues)


def results(folder: Path) -> None:
    """Results of another person."""
    params = load(ScoreParams, "score", file=REPOSITORY / "params.yaml")
    path = folder / "theirs.json"
    results_file.tables(path, results_file.read(path, params), OWN)


def handed_on() -> bytes:
    """A results file of one utterance."""
    counts = {name: [int(name == "characters")] for name in results_file.COLUMNS}
    return json.dumps(
        {
            "format": results_file.FORMAT, "version": 1, "commit": None, "changed": True,
            "score": {
                "normalise": {"iteration_marks": True, "elongation": "keep"},
                "dictionary": "20261015",
            },
            "sets": {"test": {"md5": "0", "utterances": ["a" * 32]}},
            "variants": [{"checkpoint": "base", "prompt": "none", "counts": {"test": counts}}],
        }
    ).encode()  # fmt: skip


def listed(folder: Path) -> None:
    """The list of a corpus's shards."""
    shards.listed(folder)


def manifest(*columns: str) -> bytes:
    """A manifest of one row; only some of its columns, if they are named."""
    row = {"id": "u1", "corpus": "c", "shard": "c/c.tar", "offset": 512, "size": 9, "text": "はい"}
    row |= {"duration_s": 0.5, "sample_rate_hz": 16_000, "audio_hash": "", "flags": ["silent"]}
    buffer = io.BytesIO()
    whole = pa.Table.from_pylist([row | {"upstream_set": None}], utterances.SCHEMA)
    pq.write_table(whole.select(list(columns) or whole.column_names), buffer)
    return buffer.getvalue()


def archived(files: Files, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar as tarfile writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def with_checksums(data: bytes) -> bytes:
    """Tar headers that agree with their checksums."""
    out = bytearray(data)
    for at in range(0, len(out) - 511, 512):
        if out[at + 257 : at + 262] == b"ustar":
            out[at + 148 : at + 156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
    return bytes(out)


def with_crcs(data: bytes) -> bytes:
    """Ogg pages that agree with their checksums."""
    out = bytearray(data)
    at = out.find(b"OggS")
    while 0 <= at < len(out) - 27:
        end = at + 27 + out[at + 26] + sum(out[at + 27 : at + 27 + out[at + 26]])
        out[at + 22 : at + 26] = bytes(4)
        out[at + 22 : at + 26] = ogg._crc(out[at:end]).to_bytes(4, "little")
        at = out.find(b"OggS", max(at + 4, end))
    return bytes(out)


def table(**columns: list[Any]) -> Files:
    """A parquet file of such columns."""
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return {"train-00000-of-00001.parquet": buffer.getvalue()}


def each(suffix: str, *data: bytes) -> list[Files]:
    """Files of one suffix, an input each."""
    return [{f"a.{suffix}": one} for one in data]


WAV = encoded("WAV")
KINDS = {
    "wav": [WAV, *(encoded("WAV", kind) for kind in ("PCM_U8", "PCM_24", "FLOAT", "ALAW", "ULAW",
            "IMA_ADPCM", "GSM610")), encoded("WAVEX", "PCM_24", channels=2)],
    "ogg": [encoded("OGG", "VORBIS"), encoded("OGG", "OPUS"), encoded("OGG", "OPUS", channels=2),
            encoded("OGG", "VORBIS") + encoded("OGG", "VORBIS", channels=2)],
    "flac": [encoded("FLAC"), encoded("FLAC", "PCM_24", channels=2)],
    "mp3": [encoded("MP3"), encoded("MP3", bitrate_mode="VARIABLE"),
            b"ID3\x04\0\0\0\0\x02\x0a" + bytes(266) + encoded("MP3")],
    "aiff": [encoded("AIFF"), encoded("RF64"), encoded("W64"), encoded("AU"), encoded("CAF"),
             encoded("AIFF", "FLOAT", rate_hz=44_100), encoded("VOC", "PCM_16"), encoded("NIST")],
}  # fmt: skip
LINES = [
    {"audio": "a.wav", "text": "はい"}, {"id": "u/2", "audio": "b.wav", "text": None},
    {"audio": {"path": "a.wav"}, "text": 1}, {"audio": "none.flac", "text": "ない", "more": [1]},
    {"id": "\0", "audio": "a.wav", "text": "\0"}, {"id": "..", "audio": "..", "text": ".."},
    {"id": "\ud83d", "audio": "a.wav", "text": "は"}, {"audio": "a.wav", "text": "\ud83d"},
    {"audio": "\ud83d", "text": ""}, {"audio": "/", "text": "/"}, {"audio": "a.txt", "text": "は"},
    {"id": "u.txt", "audio": "a.wav", "text": "は"}, {"id": "", "audio": ".wav", "text": "は"},
    {"id": "u\n2", "audio": "a.wav", "text": "は"}, {"id": " u ", "audio": "a", "text": "は"},
    {"id": "/u", "audio": "a.wav", "text": "は"}, {"id": "u/", "audio": "./a.wav", "text": "は"},
    {"id": "あ" * 300, "audio": "a." + "w" * 300, "text": "は"}, {"audio": "a.wav/", "text": "は"},
    {"audio": {"path": "a.wav", "start_time": 0.05, "end_time": 0.2}, "sentence": "はい"},
    {"audio": {"path": "a.wav"}, "sentences": [{"start": 0, "end": 0.2, "text": "はい"}]},
    {"audio": "a.wav", "text": "<|0.00|>はい<|0.10|><|0.12|>いい<|0.20|>"},
    {"key": "u1", "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "语音转写：<|startofspeech|>!a.wav<|endofspeech|>"},
        {"role": "assistant", "content": "はい"}], "speech_length": 25},
]  # fmt: skip
JSONL = "".join(json.dumps(line) + "\n" for line in LINES[:2]).encode()
TSV = "id\taudio\ttext\nu1\ta.wav\tはい\nu/2\tb/c.wav\tうん うん\r\n".encode()
CELLS: list[dict[str, list[Any]]] = [
    {"audio": [{"bytes": WAV, "path": "a.wav"}] * 2, "text": ["はい", None]},
    {"audio": [{"bytes": WAV, "path": "a/b.wav"}, None], "text": [1, 2]},
    {"audio": [{"path": "a.wav"}], "text": ["はい"]},
    {"audio": ["a.wav", None], "text": ["はい", "いい"]},
    {"audio": [WAV], "text": ["はい"]},
    {"audio": [[0.1, 0.2]], "text": [["はい"]]},
    {"audio": [{"bytes": None, "path": None}], "text": [{"ja": "はい"}]},
    {"audio": [{"array": [0.1, 0.2], "sampling_rate": 16_000}], "text": ["はい"]},
    {"audio": [{"bytes": "text", "path": 3}], "text": ["はい"]},
    {"audio": [1.5], "text": [b"\xff"]},
    {"audio": [None], "text": [None]},
    {"audio": [], "text": []},
    {"text": ["はい"]},
]
KALDI: list[Files] = [
    {"wav.scp": b"u1 a.wav\nu2 b.wav\n", "text": "u1 はい\nu3 ない\n".encode(), "a.wav": WAV},
    {"wav.scp": b"rec a.wav\n", "text": "u1 はい\n".encode(), "a.wav": WAV,
     "segments": b"u1 rec 0.0 0.2\nu2 rec 0.1 0.25\n"},
    {"wav.scp": b"rec a.flac\n", "a.flac": KINDS["flac"][0], "segments": b"u1 rec 0 0.2\n"},
]  # fmt: skip
PAIRS = {"a.wav": WAV, "a.txt": "はい".encode(), "b/音.ogg": KINDS["ogg"][0], "b/音.txt": b""}
LONG = {"あ" * 80 + ".txt": b"abc", "d/" * 60 + "e.ogg": KINDS["ogg"][0]}
SPOKEN = {"ref": "u1 はい\nu2 えー <b>ok 12\n".encode(), "hyp": "u1 はい\nu2 うん\n".encode()}
SHARDS = "\t".join(shards.COLUMNS) + f"\nc.tar\t{len(archived(PAIRS))}\t2\ttest\n"
SPEAKER = gzip.compress(archived({"train/S1/u1.wav": WAV}), mtime=0)
SET = {"data_aishell/transcript/aishell_transcript_v0.8.txt": "u1 而 对\n".encode(),
       "data_aishell/wav/S1.tar.gz": SPEAKER}  # fmt: skip

READERS: dict[str, Reader] = {
    "wav": Reader(each("wav", *KINDS["wav"]), audio, 15, (b"data", b"fmt ", b"LIST"), quiet=True),
    "ogg": Reader(each("ogg", *KINDS["ogg"]), audio, 15, (b"OggS",), with_crcs, quiet=True),
    "flac": Reader(each("flac", *KINDS["flac"]), audio, 8, (b"fLaC", b"\xff\xf8"), quiet=True),
    "mp3": Reader(each("mp3", *KINDS["mp3"]), audio, 8, (b"ID3", b"Xing", b"\xff\xfb"), quiet=True),
    "aiff": Reader(each("aiff", *KINDS["aiff"]), audio, 8, (b"SSND", b"COMM", b"ds64"), quiet=True),
    "recording": Reader(
        [{"a.mp4": contained(".mp4", video=True)}, {"a.mkv": contained(".mkv")},
         {"a.wav": WAV}, {"a.ogg": KINDS["ogg"][0]}, {"a.flac": KINDS["flac"][0]},
         {"a.mp3": KINDS["mp3"][0]}],
        recording, 10,
    ),
    "tar": Reader(
        [{"c.tar": archived(PAIRS)}, {"c.tar": archived(LONG, tarfile.GNU_FORMAT)},
         {"c.tar": archived(LONG)}],
        tars, 12, (b"ustar\0", b"ustar  \0", b"x", b"L", b"path=", *NUMBERS), with_checksums,
    ),
    "tsv": Reader([{"t.tsv": TSV, "a.wav": WAV}], partial(own, "t.tsv"), 8, TEXT),
    "jsonl": Reader(
        [{"t.jsonl": JSONL, "a.wav": WAV}]
        + [{"t.jsonl": json.dumps(line).encode()} for line in LINES],
        partial(own, "t.jsonl"), 8, (*TEXT, *JSON),
    ),
    "kaldi": Reader(KALDI, partial(own, ""), 8, TEXT),
    "ids": Reader(
        [KALDI[0] | {"ids": b"u2\nu3 x\n"}, KALDI[1] | {"ids": b"u1\r\n"}],
        partial(own, "", test_ids="ids"), 3, (*TEXT, b"u1", b"u9"),
    ),
    "in place": Reader(
        [{"t.tsv": TSV, "a.wav": WAV}, {"t.tsv": TSV, "a.wav": KINDS["ogg"][0]}],
        partial(own, "t.tsv", copy=False), 3, TEXT,
    ),
    "tree": Reader(
        [{"a.wav": WAV, "a.txt": "はい".encode(), "b.MP3": KINDS["mp3"][0], "c.m4a": b"x"}],
        partial(own, ""), 4, TEXT,
    ),
    "compute-wer": Reader([SPOKEN], compute_wer, 6, TEXT),
    "parquet": Reader([table(**cells) for cells in CELLS], parquet, 4, (b"PAR1",)),
    "aishell": Reader([{"data_aishell.tgz": archived(SET)}], aishell, 3, TEXT, with_checksums),
    "params": Reader(
        [{"params.yaml": (REPOSITORY / "params.yaml").read_bytes()}], params, 4, (*YAML, *NUMBERS)
    ),
    "profile": Reader(
        [{"mine.yaml": path.read_bytes()} for path in sorted(REPOSITORY.glob("profiles/*.yaml"))],
        profiles, 4, (*YAML, *NUMBERS),
    ),
    "decoded": Reader(
        [{"a.jsonl": b'{"set": "test", "id": "u1", "text": "a", "tokens": 1, "log_prob": -1.5}\n'}],
        decoded, 2, (*TEXT, *JSON),
    ),
    "theirs": Reader(
        [{"a.tsv": "u1\tはい\nvn/u2\tえ え\n".encode()},
         {"a.tsv": "text\tid\nはい\tu1\n".encode()},
         {"a.jsonl": '{"id": "u1", "text": "はい"}\n{"id": "u2", "text": ""}\n'.encode()},
         {"a.kaldi": "u1 はい\nu2\n".encode()},
         {"a.compute_wer": "utt: u1\nWER: 0\nref: は い\nhyp: は え\n\n".encode()}],
        theirs, 4, (*TEXT, *JSON, b"utt: ", b"hyp: ", b"u1", b"vn/"),
    ),
    "manifest": Reader(
        [{"c.parquet": manifest()}, {"c.parquet": manifest("id")}], tables, 2, (b"PAR1",)
    ),
    "exclusions": Reader(
        [{"vn.tsv": "id\treason\nu1\t雑音\n台詞 2\twrong text\n".encode()}], excluded, 4, TEXT
    ),
    "corrections": Reader(
        [{"vn.tsv": f"{corrections.HEADER}\nu1\ttext\tいいえ\tは\\tい\\\\\t葉\t"
          "2026-11-26T09:58:43Z\t聞き違い\nu1\tkeep\t\t\t葉\t2026-11-26T09:58:44Z\t\n".encode()}],
        corrected, 4, (*TEXT, b"\\n", b"drop", b"\t\t"),
    ),
    "subtitles": Reader(
        [{"a.srt": "1\n00:00:01,000 --> 00:00:02,500\n<i>おはよう</i>\n葵\n\n"
          "2\n00:00:03,500 --> 00:00:05,000\nはい\n".encode()},
         {"a.vtt": "WEBVTT\n\nNOTE x\n\n00:01.000 --> 00:02.500 align:start\n"
          "<v 葵>A &amp; B\n".encode()},
         {"a.ass": "[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
          "Format: Layer, Start, End, Style, Text\n"
          "Dialogue: 0,0:00:03.50,0:00:05.00,Default,{\\i1}海で\\N遊ぼう\n".encode()}],
        shown, 3, (*TEXT, *NUMBERS, b"-->", b"{\\p1}", b"00:", b"Dialogue: "),
    ),
    "groups": Reader([{"vn.tsv": "id\tgroup\nu1\tゲーム 1\n".encode()}], grouped, 1, TEXT),
    "results": Reader([{"theirs.json": handed_on()}], results, 2, (*NUMBERS, *JSON)),
    "list": Reader([{"shards.tsv": SHARDS.encode(), "c.tar": archived(PAIRS)}], listed, 2, TEXT),
}  # fmt: skip
