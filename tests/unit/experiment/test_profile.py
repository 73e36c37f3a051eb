"""Profiles write over params.yaml, and lose nothing that is not theirs."""

import shutil
from pathlib import Path

import pytest

from galgame_asr.core.params import load, parse, read_yaml
from galgame_asr.experiment import profile
from galgame_asr.experiment.params import Params
from galgame_asr.messages.errors import ConfigError
from galgame_asr.planning import published
from galgame_asr.training.params import PhaseParams
from tests.conftest import REPOSITORY

PROFILES = REPOSITORY / "profiles"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy(REPOSITORY / "params.yaml", tmp_path))


@pytest.mark.parametrize("name", sorted(path.stem for path in PROFILES.glob("*.yaml")))
def test_every_profile_gives_valid_params(params: Path, name: str) -> None:
    """Every committed profile applies, and applying it twice changes nothing more."""
    profile.apply([name], params, PROFILES)
    once = params.read_text()
    parse(Params, read_yaml(params), "")
    profile.apply([name], params, PROFILES)
    assert params.read_text() == once


def test_the_out_of_domain_set_of_mixed_can_decide(params: Path) -> None:
    """It has about 310 rows, as its comment says; all of ReazonSpeech has 21.9 million."""
    profile.apply(["galgame", "mixed"], params, PROFILES)
    mixed = parse(Params, read_yaml(params), "")
    (corpus,) = mixed.split.out_of_domain
    taken, whole = published.size(mixed.corpora[corpus]), published.REAZONSPEECH["all"]
    assert taken
    assert taken.train_h
    assert whole.train_h
    rows = 21.9e6 * taken.train_h / whole.train_h * mixed.split.exceptions[corpus].test
    assert rows == pytest.approx(310, rel=0.05)
    assert mixed.split.test_limit is None or mixed.split.test_limit > rows


def test_named_maps_are_replaced_and_other_values_merged(params: Path) -> None:
    """Corpora that the profile does not name are gone; keys it does not name stay."""
    before = read_yaml(params)
    profile.apply(["galgame"], params, PROFILES)
    after = read_yaml(params)
    assert list(after["corpora"]) == ["galgame"]
    assert after["train"]["common"]["batch_frames"] == 4000
    assert after["train"]["common"]["seed"] == before["train"]["common"]["seed"]
    assert load(PhaseParams, "train.phases.adaptor", file=params).lr == 2e-4


def test_comments_outside_replaced_maps_stay(params: Path) -> None:
    """Headings of sections and comments on kept keys survive, also below a replaced map."""
    comments = [line.strip() for line in params.read_text().splitlines() if line.startswith("#")]
    profile.apply(["galgame"], params, PROFILES)
    kept = params.read_text()
    assert [line for line in kept.splitlines() if line.startswith("#")] == comments
    assert "warmup: 0.01 # share of the steps" in kept


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian: {common: {seed: 1}}", "unknown key trian. Did you mean 'train'"),
        ("train: {common: {sed: 1}}", "unknown key train.common.sed. Did you mean 'seed'"),
        ("train: {common: {seed: x}}", "train.common.seed is 'x'"),
        ("1: 2", "unknown key 1. Allowed: corpora"),
        ("", r"bad\.yaml is no map of sections"),
        ("- train", r"bad\.yaml is no map of sections"),
        ("train: {", r"bad\.yaml is not valid YAML"),
        ("train: !!python/name:os.system x", r"bad\.yaml is not valid YAML"),
        ("train: {phases: {x: {mix: {none: 1.0}}}}", r"bad\.yaml: "),
        ("train: はい".encode("cp932"), r"bad\.yaml is not valid YAML: .*invalid .*UTF-8"),
    ],
)
def test_a_bad_profile_changes_nothing(
    params: Path, tmp_path: Path, text: str | bytes, message: str
) -> None:
    """Unknown keys, invalid values and damage are refused before the file is written."""
    before = params.read_bytes()
    (tmp_path / "bad.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=message):
        profile.apply(["bad"], params, tmp_path)
    assert params.read_bytes() == before


def test_a_byte_order_mark_is_taken_off(params: Path, tmp_path: Path) -> None:
    """Of a profile, and of params.yaml itself."""
    (tmp_path / "mine.yaml").write_text("train: {common: {seed: 7}}\r\n", encoding="utf-8-sig")
    params.write_bytes(b"\xef\xbb\xbf" + params.read_bytes())
    assert profile.apply(["mine"], params, tmp_path) == ["train.common.seed"]
    assert read_yaml(params)["train"]["common"]["seed"] == 7


def test_an_unknown_profile_lists_the_known(params: Path) -> None:
    """The message names what there is."""
    with pytest.raises(ConfigError, match=r"no profile 'galgme'; profiles: .*galgame"):
        profile.apply(["galgme"], params, PROFILES)
