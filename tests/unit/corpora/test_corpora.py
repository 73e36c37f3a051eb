"""Every kind of source, laid out as in the world, becomes the same tar shards."""

import dataclasses
import hashlib
import io
import json
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from galgame_asr.core import utterances
from galgame_asr.core.params import parse, read_yaml
from galgame_asr.core.reader import ShardReader
from galgame_asr.corpora.aishell.params import Aishell
from galgame_asr.corpora.common import fetch as corpora
from galgame_asr.corpora.folder.params import Folder
from galgame_asr.corpora.galgame.params import Galgame
from galgame_asr.corpora.hub_dataset import fetch as hub_dataset
from galgame_asr.corpora.hub_dataset.params import HubDataset
from galgame_asr.corpora.reazonspeech import fetch as reazonspeech
from galgame_asr.corpora.reazonspeech.params import ReazonSpeech
from galgame_asr.downloads import huggingface
from galgame_asr.manifests.index import Corpus, index
from galgame_asr.manifests.params import FlagSeverity, ManifestParams
from galgame_asr.messages.errors import ConfigError, DataError, GalgameAsrError
from galgame_asr.shards import folder as shards
from galgame_asr.shards import tar
from tests import recordings
from tests.conftest import REPOSITORY, tone
from tests.servers import Files, serving

REVISION = "a" * 40
MANIFEST = parse(ManifestParams, read_yaml(REPOSITORY / "params.yaml")["manifest"], "manifest")
WARN = dataclasses.replace(
    MANIFEST,
    severity=parse(
        FlagSeverity,
        {field.name: "warn" for field in dataclasses.fields(FlagSeverity)},
        "severity",
    ),
)


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)


def fetched(corpus: corpora.Entry) -> pd.DataFrame:
    """The manifest of a corpus after its fetch."""
    directory = Path("data/raw/c")
    directory.mkdir(parents=True, exist_ok=True)
    corpora.fetch("c", corpus, directory)
    index(Corpus("c", directory, WARN), Path("c.parquet"), Path(".scratch/index"))
    return utterances.read(Path("c.parquet"))


def again(corpus: corpora.Entry) -> dict[str, bytes]:
    """Fetch as DVC does, which deletes the output first; the tars."""
    shutil.rmtree("data/raw/c", ignore_errors=True)
    fetched(corpus)
    return {path.name: path.read_bytes() for path in sorted(Path("data/raw/c").glob("*.tar"))}


def digest(tars: dict[str, bytes]) -> str:
    """Of the names and bytes of tars."""
    return hashlib.sha256(b"".join(name.encode() + tars[name] for name in sorted(tars))).hexdigest()


def links(directory: Path = Path("data/raw/c")) -> set[int]:
    """How many names each tar has on the disk."""
    return {path.stat().st_nlink for path in directory.glob("*.tar")}


def texts(rows: pd.DataFrame) -> dict[str, str]:
    return dict(zip(rows["id"], rows["text"], strict=True))


def audio(hz: float, kind: str = "FLAC", rate_hz: int = 16_000) -> bytes:
    samples, _ = sf.read(io.BytesIO(tone(0.5, hz)))
    buffer = io.BytesIO()
    subtype = "OPUS" if kind == "OPUS" else None
    sf.write(buffer, samples, rate_hz, format="OGG" if subtype else kind, subtype=subtype)
    return buffer.getvalue()


def tar_of(files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class TestGalgame:
    """Tars on a hub, as litagin/Galgame_Speech_ASR_16kHz has them."""

    CORPUS = Galgame(
        kind="galgame",
        repo="owner/corpus",
        revision=REVISION,
        shards=("data/*.tar",),
        test_shards=("*-000001.tar",),
        counts="num_samples_of_tar.json",
    )

    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
        with serving(hub=True) as files:
            monkeypatch.setattr(
                huggingface, "HfApi", lambda: huggingface_hub.HfApi(endpoint=files.url)
            )
            monkeypatch.setattr(
                huggingface_hub.constants,
                "HUGGINGFACE_CO_URL_TEMPLATE",
                files.url + "/{repo_id}/resolve/{revision}/{filename}",
            )
            for number in range(2):
                pair = {f"{number}a.ogg": tone(0.5, 200 + number), f"{number}a.txt": b"abc"}
                files.files[f"owner/corpus/data/train-{number:06}.tar"] = tar_of(pair)
            counts = {f"train-{number:06}.tar": 1 for number in range(2)}
            files.files["owner/corpus/num_samples_of_tar.json"] = json.dumps(counts).encode()
            yield files

    def test_shards_keep_their_names_and_the_makers_test_set(self, server: Files) -> None:
        """Only tars are in the folder, and the last one is marked as test."""
        rows = fetched(self.CORPUS)
        assert texts(rows) == {"0a": "abc", "1a": "abc"}
        assert [x if isinstance(x, str) else None for x in rows["upstream_set"]] == [None, "test"]
        assert sorted(path.name for path in Path("data/raw/c").iterdir()) == [
            "shards.tsv", "train-000000.tar", "train-000001.tar",
        ]  # fmt: skip

    def test_the_count_is_checked(self, server: Files) -> None:
        """A shard with fewer utterances than its makers counted stops the manifest."""
        server.files["owner/corpus/num_samples_of_tar.json"] = (
            b'{"train-000000.tar": 1, "train-000001.tar": 3}'
        )
        with pytest.raises(DataError, match=r"train-000001\.tar holds 1 utterances instead of 3"):
            fetched(self.CORPUS)

    def test_counts_as_other_programs_save_them(self, server: Files) -> None:
        """With a byte order mark; what is no count is named with the file."""
        counts = server.files["owner/corpus/num_samples_of_tar.json"]
        server.files["owner/corpus/num_samples_of_tar.json"] = b"\xef\xbb\xbf" + counts
        assert len(fetched(self.CORPUS)) == 2
        other = dataclasses.replace(self.CORPUS, revision="b" * 40)
        for damaged in (b'{"train-000000.tar": null}', b"[]", "{はい}".encode("cp932")):
            server.files["owner/corpus/num_samples_of_tar.json"] = damaged
            shutil.rmtree(".scratch")
            shutil.rmtree("sources")
            with pytest.raises(DataError, match=r"num_samples_of_tar\.json is not a JSON object"):
                fetched(other)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"test_shards": ("*9.tar",)}, r"test_shards \*9\.tar match none of 2 shards"),
            ({"shards": ("data/*.tar", "*.zip")}, r"no file that matches \*\.zip"),
            ({"counts": "none.json"}, "none.json"),
        ],
    )
    def test_what_is_not_there_is_an_error(
        self, server: Files, change: dict[str, object], message: str
    ) -> None:
        """Nothing is half there."""
        with pytest.raises(GalgameAsrError, match=message):
            fetched(dataclasses.replace(self.CORPUS, **change))  # type: ignore[arg-type]
        assert not list(Path("data/raw/c").iterdir())

    @pytest.mark.parametrize("content", [b"[]", b"\xff", b'{"a": 1e999}', b"[" * 100_000])
    def test_counts_of_something_else_are_an_error(self, server: Files, content: bytes) -> None:
        """A list, no text, a number without end, depth without end."""
        server.files["owner/corpus/num_samples_of_tar.json"] = content
        with pytest.raises(DataError, match=r"num_samples_of_tar\.json is not a JSON object"):
            fetched(self.CORPUS)

    def test_wrong_params_are_said_before_the_download(self, server: Files) -> None:
        """No shard is asked for."""
        with pytest.raises(ConfigError, match="match none of 2 shards"):
            fetched(dataclasses.replace(self.CORPUS, test_shards=("*9.tar",)))
        assert not [path for path, _ in server.requests if path.endswith(".tar")]

    def test_a_rerun_downloads_nothing(self, server: Files) -> None:
        """Once on the disk: the output is a link to what was downloaded."""
        first = again(self.CORPUS)
        assert links() == {2}
        server.requests.clear()
        server.files.clear()
        assert again(self.CORPUS) == first
        assert links() == {2}
        assert server.requests == []

    def test_shards_of_other_params_stay_out(self, server: Files) -> None:
        """Though they lie in the same folder of downloads."""
        fetched(self.CORPUS)
        one = dataclasses.replace(self.CORPUS, shards=("data/*-000001.tar",))
        assert list(again(one)) == ["train-000001.tar"]

    def test_a_limit_takes_the_first_shards(self, server: Files) -> None:
        """And one of the makers' test shards; a larger one asks for what is missing alone."""
        server.files["owner/corpus/data/train-000002.tar"] = server.files[
            "owner/corpus/data/train-000000.tar"
        ]
        tests = dataclasses.replace(self.CORPUS, test_shards=("*-00000[12].tar",), counts=None)
        first = list(again(dataclasses.replace(tests, limit=0.01)))
        assert first == ["train-000000.tar", "train-000001.tar"]
        server.requests.clear()
        assert list(again(tests)) == [*first, "train-000002.tar"]
        asked = [path for path, _ in server.requests]
        assert any(path.endswith("train-000002.tar") for path in asked)
        assert not [path for path in asked if re.search(r"00000[01]\.tar$", path)]
        with pytest.raises(ConfigError, match=r"nobody says how many data/train-000000\.tar holds"):
            fetched(dataclasses.replace(tests, limit=10))


class TestReazonSpeech:
    """A table and hex-numbered tars over HTTP; the tar holds more than the tier's table."""

    @pytest.fixture
    def server(self) -> Iterator[Files]:
        with serving() as files:
            names = [f"{number:03x}/{key}" for number in (0, 10) for key in "abcd"]
            for number in ("000", "00a"):
                inside = {f"{n}.flac": audio(200 + ord(n[-1])) for n in names if n[:3] == number}
                files.files[f"data/{number}.tar"] = tar_of(inside)
            for tier, kept in {"tiny": names[:1], "small": names[:5], "medium": names[:7]}.items():
                table = "".join(f"{name}.flac\tテキスト{name[-1]}\n" for name in kept)
                files.files[f"tsv/{tier}.tsv"] = table.encode()
            yield files

    def corpus(self, server: Files, **values: object) -> ReazonSpeech:
        params = {"kind": "reazonspeech", "url": server.url, "tier": "small", "beyond": None}
        return parse(ReazonSpeech, params | {"agree_terms": True} | values, "corpora.c")

    def test_the_table_decides(self, server: Files) -> None:
        """Utterances of the tar that the tier does not list stay out."""
        rows = fetched(self.corpus(server))
        assert texts(rows) == {
            "000/a": "テキストa", "000/b": "テキストb", "000/c": "テキストc",
            "000/d": "テキストd", "00a/a": "テキストa",
        }  # fmt: skip
        assert [list(flags) for flags in rows["flags"]][:4] == [[]] * 4

    def test_a_rerun_downloads_nothing(self, server: Files) -> None:
        """Shards and tables stay, once on the disk; the tars that they were made of do not."""
        first = again(self.corpus(server))
        server.requests.clear()
        server.files.clear()
        assert again(self.corpus(server)) == first
        assert server.requests == []
        assert links() == {2}
        (place,) = Path(".scratch/downloads").iterdir()
        assert sorted(path.name for path in place.iterdir()) == [
            "reazonspeech-000-000000.tar", "reazonspeech-00a-000000.tar",
            "shards.tsv", "small.tsv",
        ]  # fmt: skip

    def test_a_damaged_shard_is_made_anew(self, server: Files) -> None:
        """Its tar alone is downloaded, and nothing is written into what links to the damaged."""
        first = again(self.corpus(server))
        (shard,) = Path(".scratch/downloads").glob("*/reazonspeech-00a-000000.tar")
        damaged = bytes(len(shard.read_bytes()))
        shard.write_bytes(damaged)
        Path("linked.tar").hardlink_to(shard)
        server.requests.clear()
        assert again(self.corpus(server)) == first
        assert [path for path, _ in server.requests] == ["/data/00a.tar"]
        assert Path("linked.tar").read_bytes() == damaged

    def test_another_address_has_downloads_of_its_own(self, server: Files) -> None:
        """What one server has says nothing about another."""
        fetched(self.corpus(server))
        server.requests.clear()
        fetched(self.corpus(server, url=f"{server.url}/"))
        assert len(server.requests) == 3

    def test_kept_shards_are_what_the_code_writes(self, server: Files) -> None:
        """If this fails, raise SHARDS_VERSION, or users keep what the old code wrote."""
        inside = {f"000/{key}.flac": key.encode() * 1000 for key in "abcd"}
        server.files["data/000.tar"] = tar_of(inside)
        server.files["data/00a.tar"] = tar_of({})
        assert digest(again(self.corpus(server))) == (
            "01e22d03b9ee12f42361f27772af30def6e7471bad8c469f4979cb98df16d56d"
        )
        assert reazonspeech.SHARDS_VERSION == 1

    def test_a_limit_takes_the_first_tars(self, server: Files) -> None:
        """The others are not asked for."""
        assert list(again(self.corpus(server, limit=4))) == ["reazonspeech-000-000000.tar"]
        assert not any("00a" in str(request) for request in server.requests)
        assert len(again(self.corpus(server, limit=5))) == 2

    def test_tiers_do_not_count_twice(self, server: Files) -> None:
        """Medium beyond small is what small lacks; together they are medium."""
        beyond = fetched(self.corpus(server, tier="medium", beyond="small"))
        assert list(beyond["id"]) == ["00a/b", "00a/c"]
        small = fetched(self.corpus(server))
        medium = fetched(self.corpus(server, tier="medium"))
        assert {*beyond["id"]} | {*small["id"]} == {*medium["id"]}
        with pytest.raises(ConfigError, match="must be smaller than tier small"):
            self.corpus(server, beyond="medium")

    def test_the_terms_come_first(self, server: Files) -> None:
        """Without agreement nothing is asked for, and the terms are shown."""
        with pytest.raises(ConfigError, match=r"Article 30-4 .*corpora\.c\.agree_terms to true"):
            fetched(self.corpus(server, agree_terms=False))
        assert server.requests == []

    def test_an_interrupted_fetch_goes_on(self, server: Files) -> None:
        """The first tar is not downloaded twice, and the result is that of one go."""
        server.cut["data/00a.tar"] = [100]
        with pytest.raises(DataError, match="run again"):
            fetched(self.corpus(server))
        server.requests.clear()
        rows = fetched(self.corpus(server))
        assert len(rows) == 5
        assert [path for path, _ in server.requests] == ["/data/00a.tar"]

    def test_audio_that_the_tar_lacks_is_flagged(self, server: Files) -> None:
        """The text stays, with the reason."""
        server.files["data/00a.tar"] = tar_of({"00a/z.flac": audio(300)})
        rows = fetched(self.corpus(server))
        assert rows[rows["id"] == "00a/a"]["flags"].map(list).tolist() == [["audio_missing"]]

    def test_a_table_as_other_programs_save_it(self, server: Files) -> None:
        """With a byte order mark and CRLF; U+2028 is no line's end; other encodings are named."""
        server.files["tsv/small.tsv"] = "000/a.flac\t前\u2028後\r\n000/b.flac\tはい\r\n".encode(
            "utf-8-sig"
        )
        rows = fetched(self.corpus(server))
        assert texts(rows) == {"000/a": "前 後", "000/b": "はい"}
        assert [list(flags) for flags in rows["flags"]] == [["text_multiline"], []]
        server.files["tsv/medium.tsv"] = "000/a.flac\ta\n000/b.flac\tはい\n".encode("cp932")
        with pytest.raises(DataError, match=r"medium\.tsv line 2 is not UTF-8"):
            fetched(self.corpus(server, tier="medium"))

    def test_a_table_of_something_else_is_an_error(self, server: Files) -> None:
        """A saved error page is named with its line."""
        server.files["tsv/small.tsv"] = b"<html>\n"
        with pytest.raises(DataError, match=r"small\.tsv line 1 is no path, tab and text"):
            fetched(self.corpus(server))
        server.files["tsv/small.tsv"] = "000/a.flac\tはい\n".encode() + b"000/b.flac\t\xff\n"
        shutil.rmtree(".scratch")
        shutil.rmtree("sources", ignore_errors=True)
        with pytest.raises(DataError, match=r"small\.tsv line 2 is not UTF-8"):
            fetched(self.corpus(server))


class TestHubDataset:
    """Parquet files with bytes, as the mirrors of ReazonSpeech are."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "mirror"
        folder.mkdir()
        for split, count in (("train", 5), ("test", 2)):
            rows = [
                {
                    "audio": {"bytes": audio(200 + n, kind), "path": f"{n}.wav"},
                    "transcription": f"テキスト{split}{n}",
                }
                for n, kind in zip(
                    range(count), ("FLAC", "WAV", "OGG", "MP3", "OPUS"), strict=False
                )
            ]
            pd.DataFrame(rows).to_parquet(folder / f"{split}-00000-of-00001.parquet")
        return folder

    def corpus(self, folder: Path, **values: object) -> HubDataset:
        params: dict[str, object] = {
            "kind": "hub_dataset", "repo": str(folder), "revision": None, "config": None,
            "splits": {"train": None, "test": "test"}, "audio_column": "audio",
            "text_column": "transcription", "shard_size": 2,
        }  # fmt: skip
        return parse(HubDataset, params | values, "corpora.c")

    def test_rows_become_utterances(self, folder: Path) -> None:
        """In order, in shards of the size asked for, with the splits kept apart."""
        rows = fetched(self.corpus(folder))
        train = [f"train/{n:08}-{n}" for n in range(5)]
        assert list(rows["id"]) == ["test/00000000-0", "test/00000001-1", *train]
        assert rows["text"].iloc[3] == "テキストtrain1"
        assert list(rows["upstream_set"][:2]) == ["test", "test"]
        assert rows["upstream_set"][2:].isna().all()
        assert len(list(Path("data/raw/c").glob("c-train-*.tar"))) == 3
        assert rows["duration_s"].between(0.49, 0.6).all()

    def test_finished_shards_are_kept(self, folder: Path) -> None:
        """What `shards.write` finds of an interrupted run it does not ask for again."""
        rows = fetched(self.corpus(folder))
        first = Path("data/raw/c/c-train-000000.tar")
        before = first.stat().st_mtime_ns
        for path in Path("data/raw/c").glob("c-train-00000[12].tar"):
            path.unlink()
        pd.testing.assert_frame_equal(fetched(self.corpus(folder)), rows)
        assert first.stat().st_mtime_ns == before

    @pytest.fixture
    def asked(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The splits that the hub was asked for; its data set owner/name is the folder."""
        splits = []
        load = datasets.load_dataset

        def from_folder(_repo: str, config: str | None, *, split: str, **_: object) -> object:
            splits.append(split)
            return load(str(folder), config, split=split, streaming=True)

        monkeypatch.setattr(datasets, "load_dataset", from_folder)
        return splits

    def on_hub(self, folder: Path, **values: object) -> HubDataset:
        return self.corpus(folder, repo="owner/name", revision=REVISION, **values)

    def test_a_rerun_streams_nothing(self, folder: Path, asked: list[str]) -> None:
        """The shards stay, once on the disk, and are those of a folder."""
        first = again(self.corpus(folder))
        asked.clear()
        assert again(self.on_hub(folder)) == first
        assert links() == {2}
        assert asked == ["train", "test"]
        assert again(self.on_hub(folder)) == first
        assert asked == ["train", "test"]
        assert links() == {2}

    def test_other_columns_are_streamed(self, folder: Path, asked: list[str]) -> None:
        """Shards of other texts are not taken for these."""
        for file in folder.iterdir():
            table = pd.read_parquet(file)
            table.assign(other="別").to_parquet(file)
        again(self.on_hub(folder))
        fetched(self.on_hub(folder, text_column="other"))
        assert set(utterances.read(Path("c.parquet"))["text"]) == {"別"}

    def test_a_damaged_shard_and_those_after_it_are_streamed(
        self, folder: Path, asked: list[str]
    ) -> None:
        """The other split is not, and nothing is written into what links to the damaged."""
        first = again(self.on_hub(folder))
        (shard,) = Path(".scratch/downloads").glob("*/c-train-000001.tar")
        damaged = bytes(len(shard.read_bytes()))
        shard.write_bytes(damaged)
        Path("linked.tar").hardlink_to(shard)
        asked.clear()
        assert again(self.on_hub(folder)) == first
        assert asked == ["train"]
        assert Path("linked.tar").read_bytes() == damaged

    def test_kept_shards_are_what_the_code_writes(self, folder: Path, asked: list[str]) -> None:
        """If this fails, raise SHARDS_VERSION, or users keep what the old code wrote."""
        for file in folder.iterdir():
            table = pd.read_parquet(file)
            magics = [*hub_dataset.EXTENSIONS, b"none"]
            magics = magics[:5] if len(table) == 5 else magics[-2:]
            cells = [{"bytes": magic + b"audio", "path": "a.wav"} for magic in magics]
            table.assign(audio=pd.Series(cells)).to_parquet(file)
        assert digest(again(self.on_hub(folder))) == (
            "be23871969c5c035ae5a3ecfe8c54937f4ebe9ca9a70011f64723a9435931fa9"
        )
        assert hub_dataset.SHARDS_VERSION == 2

    def test_what_is_not_there_is_an_error(self, folder: Path) -> None:
        """A column, a split, a revision: each is named with what there is."""
        with pytest.raises(ConfigError, match=r"no column text; its columns are audio, transcr"):
            fetched(self.corpus(folder, text_column="text"))
        with pytest.raises(DataError, match="split dev cannot be read"):
            fetched(self.corpus(folder, splits={"dev": None}))
        with pytest.raises(ConfigError, match=r"corpora\.c: owner/name is no folder here"):
            fetched(self.corpus(folder, repo="owner/name"))


class TestAishell:
    """One archive with an archive per speaker, and a transcript."""

    @pytest.fixture
    def archive(self, tmp_path: Path) -> Path:
        files = {}
        for set_, speaker in (("train", "S0002"), ("dev", "S0724"), ("test", "S0764")):
            names = [f"BAC009{speaker}W{n:04}" for n in range(2)]
            wavs = {
                f"{set_}/{speaker}/{n}.wav": audio(int(n[7:11]) + ord(n[-1]), "WAV") for n in names
            }
            files[f"data_aishell/wav/{speaker}.tar.gz"] = tar_of(wavs, "w:gz")
        # One utterance has no line, as in the real corpus.
        lines = [
            "BAC009S0002W0000 而 对 楼市\n", "BAC009S0724W0000 广州\n", "BAC009S0724W0001 北京\n",
            "BAC009S0764W0000 甚至 出现\n", "BAC009S0764W0001 交易\n",
        ]  # fmt: skip
        files["data_aishell/transcript/aishell_transcript_v0.8.txt"] = "".join(lines).encode()
        path = tmp_path / "data_aishell.tgz"
        path.write_bytes(tar_of(files, "w:gz"))
        return path

    def corpus(self, url: str, archive: Path, **values: object) -> Aishell:
        params: dict[str, object] = {
            "kind": "aishell", "url": url, "shard_size": 100, "restore_punctuation": None,
            "md5": hashlib.md5(archive.read_bytes()).hexdigest(),
        }  # fmt: skip
        return parse(Aishell, params | values, "corpora.c")

    def test_sets_stay_apart_and_missing_transcripts_are_flagged(self, archive: Path) -> None:
        """Over HTTP, resumed after a cut; the spaces between words go."""
        with serving() as server:
            server.files["data_aishell.tgz"] = archive.read_bytes()
            server.cut["data_aishell.tgz"] = [500]
            corpus = self.corpus(f"{server.url}/data_aishell.tgz", archive)
            with pytest.raises(DataError, match="run again"):
                fetched(corpus)
            rows = fetched(corpus)
        assert texts(rows)["BAC009S0764W0000"] == "甚至出现"
        assert dict(rows.groupby("upstream_set").size()) == {"train": 2, "dev": 2, "test": 2}
        assert rows[rows["id"] == "BAC009S0002W0001"]["flags"].map(list).tolist() == [
            ["text_missing"]
        ]

    def test_a_rerun_downloads_nothing(self, archive: Path) -> None:
        """Also after a failure past the download; the hook's own edits take effect."""
        with serving() as server:
            server.files["data_aishell.tgz"] = archive.read_bytes()
            url = f"{server.url}/data_aishell.tgz"
            hook = Path("a_hook.py")
            hook.write_text("def add(texts):\n    return texts[1:]\n")
            sys.path.insert(0, str(Path.cwd()))
            try:
                corpus = self.corpus(url, archive, restore_punctuation="a_hook:add")
                with pytest.raises(ConfigError, match="gave 4 texts for 5"):
                    fetched(corpus)
                first = again(self.corpus(url, archive))
            finally:
                sys.path.remove(str(Path.cwd()))
            assert again(self.corpus(url, archive)) == first
            assert len(server.requests) == 1

    def test_another_md5_is_an_error(self, archive: Path) -> None:
        """The file is named with both digests."""
        with pytest.raises(DataError, match=r"data_aishell\.tgz has MD5 \w+ instead of 0{32}"):
            fetched(self.corpus(str(archive), archive, md5="0" * 32))
        assert archive.exists()

    def test_a_damaged_archive_is_named(self, archive: Path) -> None:
        """Cut short, no archive at all, one of a speaker that is none, a transcript of CP932."""
        data = archive.read_bytes()
        transcript = "data_aishell/transcript/aishell_transcript_v0.8.txt"
        for content, message in (
            (data[:-200], "cannot be read"),
            (b"<html>", "cannot be read"),
            (tar_of({transcript: b"", "data_aishell/wav/S1.tar.gz": b"<html>"}), "cannot be read"),
            (tar_of({transcript: "a 広州".encode("cp932")}), "line 1 is not UTF-8"),
        ):
            archive.write_bytes(content)
            shutil.rmtree("data", ignore_errors=True)
            with pytest.raises(DataError, match=rf"data_aishell\.tgz.* {message}"):
                fetched(self.corpus(str(archive), archive))

    def test_a_hook_restores_punctuation(
        self, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A function of the user's, named in params, gets all texts."""
        (tmp_path / "my_hook.py").write_text(
            "def add(texts):\n    return [t + '。' for t in texts]\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        rows = fetched(self.corpus(str(archive), archive, restore_punctuation="my_hook:add"))
        assert texts(rows)["BAC009S0724W0001"] == "北京。"
        with pytest.raises(ConfigError, match="my_hook:none cannot be imported"):
            fetched(self.corpus(str(archive), archive, restore_punctuation="my_hook:none"))


class TestFolder:
    """The user's own files, in the three layouts."""

    NAMES = ("b/一", "a")

    def corpus(self, path: Path, shard_size: int = 10) -> Folder:
        return Folder(kind="folder", path=str(path), shard_size=shard_size)

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        for name, data, extension in (
            ("a", audio(200, "WAV"), "wav"),
            ("b/一", audio(300, "OPUS"), "opus"),
            ("b/二", audio(400, "MP3"), "MP3"),
        ):
            path = tmp_path / "mine" / f"{name}.{extension}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            if name != "b/二":
                path.with_suffix(".txt").write_text(f"テキスト{name[-1]}", encoding="utf-8")
        return tmp_path / "mine"

    def test_a_tree(self, tree: Path) -> None:
        """Ids are the paths; a recording without text is flagged, not left out."""
        rows = fetched(self.corpus(tree))
        assert texts(rows) == {"a": "テキストa", "b/一": "テキスト一", "b/二": ""}
        assert rows["flags"].map(list).tolist()[2] == ["text_missing"]
        reader = ShardReader(Path("data/raw"))
        assert all(abs(len(reader.read_row(row)) - 8000) < 1200 for row in rows.to_dict("records"))

    def test_tables(self, tree: Path) -> None:
        """A tsv and a jsonl of the same rows give the same corpus, a missing file included."""
        rows = [("a.wav", "はい"), ("b/一.opus", '"引用"'), ("c.wav", "ない")]
        (tree / "t.tsv").write_text("audio\ttext\n" + "".join(f"{a}\t{t}\n" for a, t in rows))
        (tree / "t.jsonl").write_text(
            "".join(json.dumps({"audio": a, "text": t}) + "\n" for a, t in rows)
        )
        first, second = (fetched(self.corpus(tree / name)) for name in ("t.tsv", "t.jsonl"))
        pd.testing.assert_frame_equal(first, second)
        assert texts(first) == {"a": "はい", "b/一": '"引用"', "c": "ない"}
        assert first["flags"].map(list).tolist()[2] == ["audio_missing"]

    def test_kaldi(self, tree: Path) -> None:
        """wav.scp and text; a pipe is no file."""
        (tree / "wav.scp").write_text(f"u1 {tree / 'a.wav'}\nu2 b/一.opus\n")
        (tree / "text").write_text("u1 はい そう\nu2 うん\n")
        rows = fetched(self.corpus(tree))
        assert texts(rows) == {"u1": "はい そう", "u2": "うん"}
        (tree / "wav.scp").write_text("u1 sox a.wav -t wav - |\n")
        with pytest.raises(DataError, match="'u1' is a command, not a file"):
            fetched(self.corpus(tree))

    def test_a_tree_has_a_row_for_each_side(
        self, tree: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Text without audio is flagged; audio of a kind that is not taken is named."""
        (tree / "lost.txt").write_text("音声がない")
        (tree / "phone.m4a").write_bytes(b"\0\0\0 ftypM4A ")
        (tree / "phone.txt").write_text("電話")
        (tree / "B.WAV").write_bytes(audio(250, "WAV"))
        (tree / "B.TXT").write_text("大文字")
        caplog.set_level("WARNING", "galgame_asr")
        rows = fetched(self.corpus(tree))
        flags = {row["id"]: list(row["flags"]) for row in rows.to_dict("records")}
        assert flags["lost"] == flags["phone"] == ["audio_missing"]
        assert texts(rows)["B"] == "大文字"
        assert flags["B"] == []
        assert "1 files of a kind that is not taken: phone.m4a; convert" in caplog.text

    def test_kaldi_has_a_row_for_each_side(self, tree: Path) -> None:
        """An id of text or of wav.scp alone is flagged; a tab parts as well as a space."""
        (tree / "sub dir").mkdir()
        (tree / "b/一.opus").rename(tree / "sub dir/音 1.opus")
        scp = f"u1\t{tree / 'a.wav'}\r\nu2 sub dir/音 1.opus\r\n"
        (tree / "wav.scp").write_text(scp, "utf-8-sig", newline="")
        (tree / "text").write_text("u1\tはい そう\r\nu3 ない\r\n", "utf-8-sig", newline="")
        rows = fetched(self.corpus(tree))
        assert texts(rows) == {"u1": "はい そう", "u2": "", "u3": "ない"}
        flags = [list(flags) for flags in rows["flags"]]
        assert flags == [[], ["text_missing"], ["audio_missing"]]

    @pytest.mark.parametrize("mark", ["\u2028", "\u0085", "\x0b", "\x1c", "\u2029"])
    def test_a_label_is_whole(self, tree: Path, mark: str) -> None:
        """Only LF and CRLF end a line: what str.splitlines cuts at is flagged, in every layout."""
        text = f"前{mark}後"
        (tree / "wav.scp").write_text("u1 a.wav\nu2 b/一.opus\n")
        (tree / "text").write_text(f"u1 {text}\nu2 うん\n", encoding="utf-8", newline="\n")
        (tree / "t.tsv").write_text(f"id\taudio\ttext\nu1\ta.wav\t{text}\nu2\tb/一.opus\tうん\n")
        line = json.dumps({"id": "u1", "audio": "a.wav", "text": text}, ensure_ascii=False)
        other = json.dumps({"id": "u2", "audio": "b/一.opus", "text": "うん"})
        (tree / "t.jsonl").write_text(f"{line}\n{other}\n", encoding="utf-8", newline="\n")
        for path in (tree, tree / "t.tsv", tree / "t.jsonl"):
            rows = fetched(self.corpus(path))
            assert texts(rows) == {"u1": "前 後", "u2": "うん"}
            assert [list(flags) for flags in rows["flags"]] == [["text_multiline"], []]

    def test_segments_are_cut_out(self, tree: Path) -> None:
        """Start and end in a file; past its end, or the wrong way round, is an error."""
        (tree / "wav.scp").write_text("rec a.wav\n")
        (tree / "text").write_text("rec-1 はい\nrec-2 うん\n")
        (tree / "segments").write_text("rec-1 rec 0.1 0.3\nrec-2 rec 0.25 0.5\n")
        rows = fetched(self.corpus(tree))
        assert texts(rows) == {"rec-1": "はい", "rec-2": "うん"}
        assert rows["duration_s"].tolist() == [0.2, 0.25]
        whole, rate_hz = sf.read(tree / "a.wav", dtype="float32")
        read = ShardReader(Path("data/raw")).read_row(rows.iloc[1].to_dict())
        np.testing.assert_array_equal(read, whole[round(0.25 * rate_hz) : round(0.5 * rate_hz)])
        for line, message in (
            ("rec-1 rec 0.1 9", "segment 'rec-1' of .*: it ends at 9 s, and the file at 0.5 s"),
            ("rec-1 rec 0.3 0.1", "'rec-1' has 'rec 0.3 0.1'; allowed"),
            ("rec-1 rec 0.3", "'rec-1' has 'rec 0.3'; allowed"),
        ):
            (tree / "segments").write_text(f"{line}\n")
            shutil.rmtree("data")
            with pytest.raises(DataError, match=message):
                fetched(self.corpus(tree))

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('["a.wav", "はい"]', "line 2 is list"),
            ('{"audio": "a.wav", "text": 110}', r"line 2: text is 110 \(int\); allowed: text"),
            ('{"audio": ["a.wav"], "text": "はい"}', "line 2: audio is .* \\(list\\)"),
            ('{"audio": null, "text": "はい"}', "line 2 has no column audio"),
            ('{"audio": "a.wav"', "line 2 is not JSON"),
            ("[" * 100_000, "line 2 is not JSON"),
        ],
    )
    def test_a_line_of_other_types_is_named(self, tree: Path, line: str, message: str) -> None:
        """With what was found and what is allowed; null in place of a text is no text."""
        (tree / "t.jsonl").write_text(f'{{"audio": "a.wav", "text": null}}\n{line}\n')
        with pytest.raises(DataError, match=message):
            fetched(self.corpus(tree / "t.jsonl"))

    def test_text_files_of_people(self, tree: Path) -> None:
        """A byte order mark is taken off; other encodings and extra columns are named by line."""
        head = "\ufeffaudio\ttext\r\n"
        (tree / "t.tsv").write_text(f"{head}a.wav\tはい\r\n", encoding="utf-8", newline="")
        assert texts(fetched(self.corpus(tree / "t.tsv"))) == {"a": "はい"}
        (tree / "t.tsv").write_text(f"{head}a.wav\t前\t後\r\n", encoding="utf-8", newline="")
        with pytest.raises(DataError, match="line 2 has 3 columns, and the first line 2"):
            fetched(self.corpus(tree / "t.tsv"))
        (tree / "t.tsv").write_text("\u200baudio\ttext\na.wav\tはい\n")
        with pytest.raises(DataError, match=r"its columns: '\\u200baudio', 'text'"):
            fetched(self.corpus(tree / "t.tsv"))
        (tree / "wav.scp").write_text("u1 a.wav\n")
        (tree / "text").write_bytes("u1 はい\nu2 うん\n".encode("cp932"))
        with pytest.raises(DataError, match=r"text line 1 is not UTF-8 .*iconv -f cp932"):
            fetched(self.corpus(tree))

    def test_what_was_written_to_a_pipe(self, tmp_path: Path) -> None:
        """Its headers claim lengths that no file has, or none: all of it is one's recording."""
        samples = recordings.speak("葵、おはよう。")
        buffer = io.BytesIO()
        sf.write(buffer, samples, 16_000, format="WAV")
        wav = buffer.getvalue()
        claims = {"arecord": 0x8000_0000, "sox": 0x7FFF_FFFF - 36, "ffmpeg": 0xFFFF_FFFF}
        for number, (name, claim) in enumerate(claims.items()):
            own = wav[:40] + claim.to_bytes(4, "little") + wav[44:]
            (tmp_path / f"{name}.wav").write_bytes(own[: len(own) - 2 * number])
        sf.write(buffer := io.BytesIO(), samples, 16_000, format="FLAC")
        flac = bytearray(buffer.getvalue())
        flac[21:26] = bytes([flac[21] & 0xF0, 0, 0, 0, 0])  # the number of samples
        (tmp_path / "flac.flac").write_bytes(flac)
        for path in list(tmp_path.iterdir()):
            path.with_suffix(".txt").write_text(f"葵、おはよう。{path.stem}", encoding="utf-8")
        shards_of = Path("data/raw/c")
        shards_of.mkdir(parents=True)
        corpora.fetch("c", self.corpus(tmp_path), shards_of)
        index(Corpus("c", shards_of, MANIFEST), Path("c.parquet"), Path(".scratch/index"))
        rows = utterances.read(Path("c.parquet"))
        found = dict(zip(rows["id"], (rows["duration_s"] * 16_000).round(), strict=True))
        lengths = {name: len(samples) - number for number, name in enumerate(claims)}
        assert found == lengths | {"flac": len(samples)}

    def test_what_is_not_there_is_an_error(self, tmp_path: Path) -> None:
        """An empty or missing folder, and a table without its column."""
        with pytest.raises(DataError, match="is neither a folder nor"):
            fetched(self.corpus(tmp_path / "none"))
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match="holds no recording"):
            fetched(self.corpus(tmp_path / "empty"))
        (tmp_path / "t.tsv").write_text("path\ttext\na.wav\tはい\n")
        with pytest.raises(
            DataError, match="line 2 has no column audio; its columns: 'path', 'text'"
        ):
            fetched(self.corpus(tmp_path / "t.tsv"))


def test_long_and_japanese_ids_survive(tmp_path: Path) -> None:
    """A tar's header holds 100 bytes of a name; longer ones are no problem."""
    id_ = "長い" * 40 + "/x"
    written = shards.write(
        tmp_path,
        "c",
        lambda start: iter([shards.Utterance(id_, "ogg", tone(0.2), "はい")][start:]),
        shard_size=5,
    )
    assert [member.name for member in tar.members(written[0].path)] == [f"{id_}.ogg", f"{id_}.txt"]
