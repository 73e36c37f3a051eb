"""Which cards, for how long, and how much disk."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from galgame_asr.base.fun_asr_nano_2512 import FILE_BYTES, PARAMETERS
from galgame_asr.core.params import load, parse
from galgame_asr.corpora.galgame.params import Galgame
from galgame_asr.corpora.params import Entry
from galgame_asr.corpora.reazonspeech.params import ReazonSpeech, Tier
from galgame_asr.experiment import profile
from galgame_asr.experiment.params import Params
from galgame_asr.planning import cards, disk, published, speed
from galgame_asr.planning.cards import GIB
from galgame_asr.planning.memory import Memory
from galgame_asr.planning.plan import Data, PhasePlan
from galgame_asr.training.params import CommonParams, PhaseParams
from tests.conftest import REPOSITORY
from tests.phases import LORA, PHASES, values

COMMON = load(CommonParams, "train.common", file=REPOSITORY / "params.yaml")

HUB = "huggingface"


def galgame(*shards: str, test_shards: tuple[str, ...] = ()) -> Galgame:
    return Galgame(
        kind="galgame", repo=published.GALGAME, revision="0" * 40, shards=shards,
        test_shards=test_shards, counts=None,
    )  # fmt: skip


def reazon(tier: Tier, beyond: Tier | None) -> ReazonSpeech:
    return ReazonSpeech(
        kind="reazonspeech", url="https://example.org", tier=tier, beyond=beyond, agree_terms=False
    )


@pytest.mark.parametrize(
    ("peak_gib", "smallest", "sensible"),
    [
        (5.0, "RTX 4060 8 GB", "RTX 4060 8 GB"),
        (8.5, "RTX 2080 Ti 11 GB (fp16)", "RTX 4080 16 GB"),
        (12.0, "T4 16 GB (fp16)", "RTX 4090 24 GB"),
        (70.0, "H100 80 GB", "H200 141 GB"),
        (120.0, "H200 141 GB", "None"),
        (140.0, "None", "None"),
    ],
)
def test_a_card_is_named(peak_gib: float, smallest: str, sensible: str) -> None:
    """The first with room for the step; and the first with bf16 and a quarter to spare."""
    peak = round(peak_gib * GIB)
    assert (str(cards.smallest(peak)), str(cards.sensible(peak))) == (smallest, sensible)


def test_the_card_of_all_phases_is_the_largest() -> None:
    """And there is none where one phase fits on none."""
    small, large = cards.CARDS[0], cards.CARDS[-1]
    assert cards.largest({"a": large, "b": small}) == large
    assert cards.largest({"a": large, "b": None}) is None


def test_published_sizes_are_of_what_is_taken() -> None:
    """Shards by their patterns, without those for testing; tiers without smaller ones."""
    whole = published.size(galgame("data/*.tar"))
    assert whole
    assert (whole.train_h, whole.raw_bytes) == pytest.approx((5353.9, 100.16e9), rel=1e-5)
    test_shards = ("*-00010[3-9].tar", "*-00011?.tar")
    train = published.size(galgame("data/*.tar", test_shards=test_shards))
    assert train
    assert (train.train_h, train.raw_bytes) == pytest.approx(
        (5353.9 * 103 / 115, 100.16e9), rel=1e-5
    )
    tenth = published.size(galgame("data/*-00000[0-9].tar"))
    assert tenth
    assert (tenth.train_h, tenth.raw_bytes) == pytest.approx((465.6, 8.71e9), rel=1e-3)
    assert published.size(reazon("medium", "small")) == published.Size(900, 59e9)
    assert published.size(replace(galgame("*"), repo="someone/else")) is None


def test_limits_take_first_shards() -> None:
    """A hundredth is one shard and the first of the test shards; utterances are counted."""
    corpus = galgame("data/*.tar", test_shards=("*-00010[3-9].tar",))
    hundredth = published.size(replace(corpus, limit=0.01))
    assert hundredth
    shard = 5353.9 / 115, 100.16e9 / 115
    assert (hundredth.train_h, hundredth.raw_bytes) == pytest.approx(
        (shard[0], 2 * shard[1]), rel=1e-4
    )
    counted = published.size(replace(corpus, limit=1000))
    assert counted
    assert counted.train_h == pytest.approx(1000 * 5353.9 / 3_746_131)
    assert published.size(replace(reazon("small", None), limit=0.5)) == published.Size(50, 3e9)
    assert published.size(replace(reazon("small", None), limit=50)) == published.Size(None, 6e9)


def test_lengths_follow_the_mix(tmp_path: Path) -> None:
    """Hours times share and epochs; nobody knows them if one corpus is unknown."""
    corpora: dict[str, Entry] = {
        "a": reazon("small", None), "b": reazon("medium", "small"),
        "mine": replace(galgame("*"), repo="someone/else"),
    }  # fmt: skip
    data = Data(corpora, tmp_path)
    params = parse(PhaseParams, values(mix={"a": 2.0, "b": 0.5}, epochs=3), "phase")
    common = replace(COMMON, batch_frames=4000)
    assert data.length(params, common) == (650 * 3600 * 100 / 4000, 3 * 650 * 3600)
    mixed = replace(params, mix={"a": 1.0, "mine": 1.0})
    assert data.length(mixed, common) == (None, None)
    assert Data(corpora, tmp_path, 10.0).length(mixed, common) == (900, 3 * 36_000)
    # The tables of other params, such as the default's before the profile's data is fetched.
    pd.DataFrame({"corpus": ["vn"]}).to_parquet(tmp_path / "train.parquet")
    other = Data(corpora, tmp_path)
    assert other.length(params, common) == data.length(params, common)
    assert other.source == data.source


def step_s(frames: int, **change: Any) -> float | None:
    params = parse(PhaseParams, values(**{"ctc_weight": 0.0} | change), "phase")
    return speed.step_s(params, COMMON, "bf16", PARAMETERS, frames)


@pytest.mark.parametrize(("name", "measured"), [("adaptor", 220), ("encoder", 137), ("full", 91)])
def test_speeds_are_those_that_were_measured(name: str, measured: int) -> None:
    """Seconds of audio per second at 4,000 frames, and 412 where the card is what is slow."""
    seconds = step_s(4000, freeze=PHASES[name])
    assert seconds is not None
    assert 40 / seconds == pytest.approx(measured, abs=0.5)
    # Half as much takes as long: several cards win nothing by dividing such a step.
    assert step_s(2000, freeze=PHASES[name]) == seconds
    assert step_s(64_000, freeze=PHASES[name]) == pytest.approx(640 / 412, rel=0.01)


def test_no_speed_is_made_up() -> None:
    """None of another model, precision, or way to train than was measured."""
    freeze = PHASES["full"]
    assert step_s(4000, freeze=freeze | {"llm": True}, lora=LORA) is None
    assert step_s(4000, freeze=freeze, ctc_weight=0.3) is None
    params = parse(PhaseParams, values(freeze=freeze, ctc_weight=0.0), "phase")
    assert speed.step_s(params, COMMON, "fp16", PARAMETERS, 4000) is None
    assert speed.step_s(params, COMMON, "bf16", PARAMETERS + 1, 4000) is None
    recomputing = replace(COMMON, activation_checkpointing=True)
    assert speed.step_s(params, recomputing, "bf16", PARAMETERS, 4000) is None


def test_disk_is_counted_by_what_a_profile_keeps(tmp_path: Path) -> None:
    """Raw data, as published or as it is here; checkpoints, exports; and two states, not pushed."""
    file = tmp_path / "params.yaml"
    file.write_bytes((REPOSITORY / "params.yaml").read_bytes())
    profile.apply(["galgame"], file, REPOSITORY / "profiles")
    params = parse(Params, YAML(typ="safe").load(file), "")
    memory = Memory(0, 0, 0, 0, 0)
    plans = [
        PhasePlan(name, learning, memory, 0, 100, 1.0, {})
        for name, learning in (("adaptor", 10), ("encoder", 1000), ("full", 100))
    ]

    def checkpoint_bytes(learned: Collection[str]) -> int:
        return FILE_BYTES[HUB] * (2 if "llm" in learned else 1)

    parts = disk.uses(params, plans, checkpoint_bytes, PARAMETERS, tmp_path / "raw")
    # Base, three phases of four checkpoints, one mean of the last, in which the language model
    # learns; three exports, none in float32.
    models = (1 + 8 + 2 * (4 + 1)) * FILE_BYTES[HUB]
    sizes = [100.16e9, models + 3 * 2 * PARAMETERS, 2 * 12 * 1000]
    assert [part.size_bytes for part in parts] == pytest.approx(sizes)
    assert disk.total(parts, pushed=False) == pytest.approx(sum(sizes))
    assert disk.total(parts, pushed=True) == pytest.approx(sum(sizes[:2]))
    (tmp_path / "raw/galgame").mkdir(parents=True)
    (tmp_path / "raw/galgame/a.tar").write_bytes(b"1234")
    (tmp_path / "raw/galgame/shards.tsv").write_bytes(b"no audio")
    first, *_ = disk.uses(params, plans, checkpoint_bytes, PARAMETERS, tmp_path / "raw")
    assert first == disk.Use("data/raw/galgame", 4, "as it lies here")


def test_audio_that_stays_where_it_is_takes_no_disk(tmp_path: Path) -> None:
    """Of a corpus with `copy: false` the lists of its files are here, and no shard is missing."""
    values = YAML(typ="safe").load(REPOSITORY / "params.yaml")
    reading = {"kind": "folder", "path": "/audio", "copy": False, "shard_size": 100}
    values["corpora"]["reading"] = reading
    params = parse(Params, values, "")

    def size(name: str) -> disk.Use:
        parts = disk.uses(params, [], lambda _: 1, PARAMETERS, tmp_path)
        return next(part for part in parts if part.folder == f"data/raw/{name}")

    assert size("reading").what.startswith("unknown: it is not here yet")
    (tmp_path / "reading").mkdir()
    (tmp_path / "reading/train-000000.jsonl").write_bytes(b"12345")
    here = "as it lies here; its audio stays where it is"
    assert size("reading") == disk.Use("data/raw/reading", 5, here)
