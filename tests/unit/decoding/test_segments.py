"""Long audio is cut where nobody speaks, and no speech is lost."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from ruamel.yaml import YAML

from galgame_asr.corpora.synthetic import fetch as synthetic
from galgame_asr.decoding import fsmn, long_audio
from galgame_asr.decoding.segments import (
    MAX_GAP,
    Audio,
    Detector,
    Segment,
    cut,
    load_detector,
    plain_torch,
)
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.families.fun_asr_nano.weights import save_weights
from galgame_asr.messages.errors import CheckpointError, ConfigError
from tests.models import noise

RATE_HZ = 16_000
SENTENCES = ["葵、おはよう。", "もう、先輩。", "公園で帰ろうよ、先輩。", "えへへ、先輩が好き。"]
# config.yaml as published for iic/speech_fsmn_vad_zh-cn-16k-common-pytorch, with a small encoder.
FSMN_CONFIG = {
    "frontend": "WavFrontendOnline",
    "frontend_conf": {
        "fs": RATE_HZ, "window": "hamming", "n_mels": 80, "frame_length": 25, "frame_shift": 10,
        "dither": 0.0, "lfr_m": 5, "lfr_n": 1,
    },
    "model": "FsmnVADStreaming",
    "model_conf": {
        "sample_rate": RATE_HZ, "detect_mode": 1, "snr_mode": 0, "max_end_silence_time": 800,
        "max_start_silence_time": 3000, "do_start_point_detection": True,
        "do_end_point_detection": True, "window_size_ms": 200, "sil_to_speech_time_thres": 150,
        "speech_to_sil_time_thres": 150, "speech_2_noise_ratio": 1.0, "do_extend": 1,
        "lookback_time_start_point": 200, "lookahead_time_end_point": 100,
        "max_single_segment_time": 60_000, "snr_thres": -100.0,
        "noise_frame_num_used_for_snr": 100, "decibel_thres": -100.0, "speech_noise_thres": 0.6,
        "fe_prior_thres": 0.0001, "silence_pdf_num": 1, "sil_pdf_ids": [0],
        "speech_noise_thresh_low": -0.1, "speech_noise_thresh_high": 0.3,
        "output_frame_probs": False, "frame_in_ms": 10, "frame_length_ms": 25,
    },
    "encoder": "FSMN",
    "encoder_conf": {
        "input_dim": 400, "input_affine_dim": 8, "fsmn_layers": 2, "linear_dim": 8, "proj_dim": 4,
        "lorder": 20, "rorder": 0, "lstride": 1, "rstride": 0, "output_affine_dim": 8,
        "output_dim": 5,
    },
}  # fmt: skip


class Fixed:
    """A detector that finds what it is told."""

    def __init__(self, found: list[Segment]) -> None:
        self.found = found

    def speech(self, audio: Audio) -> list[Segment]:
        return self.found

    def hears(self, audio: Audio) -> bool:
        return bool(self.found)


class Never:
    """A detector that must not be asked."""

    def speech(self, audio: Audio) -> list[Segment]:
        raise AssertionError(f"asked about {len(audio)} samples")

    def hears(self, audio: Audio) -> bool:
        return bool(self.speech(audio))


@pytest.fixture(scope="module")
def silero() -> Detector:
    return load_detector("silero")


@pytest.fixture(scope="module")
def sentences() -> list[Audio]:
    voice = synthetic.VOICES["reading"][0]
    return [synthetic.speak(text, voice).astype(np.float32) for text in SENTENCES]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An FSMN-VAD directory with random weights, all positive: the louder, the more speech."""
    YAML().dump(FSMN_CONFIG, tmp_path / "config.yaml")
    write_cmvn(tmp_path / "am.mvn", 400)
    torch.manual_seed(0)
    model = fsmn.build(FSMN_CONFIG)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.abs_().mul_(0.0 if name.endswith("bias") else 1.0)
        last = model.encoder.out_linear2.linear
        last.weight[0], last.bias[0] = 0.0, 8.0  # the first output is silence
    save_weights(model, tmp_path / "model.pt")
    return tmp_path


def write_cmvn(file: Path, width: int) -> None:
    """Shifts of 0 and scales of 1, in Kaldi's text format of a network."""
    rows = [("AddShift", "0.0"), ("Rescale", "1.0")]
    file.write_text(
        "<Nnet>\n"
        + "".join(
            f"<{name}> {width} {width}\n<LearnRateCoef> 0 [ {' '.join([value] * width)} ]\n"
            for name, value in rows
        )
        + "</Nnet>\n"
    )


def with_pauses(parts: list[Audio], pause_s: float) -> tuple[Audio, list[Segment], list[Segment]]:
    """Audio with silence before, between and after parts; where the parts and the silences are."""
    silence = np.zeros(round(pause_s * RATE_HZ), np.float32)
    pieces = [silence, *itertools.chain.from_iterable((part, silence) for part in parts)]
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    places = [Segment(end - len(p), end) for end, p in zip(ends, pieces, strict=True)]
    return np.concatenate(pieces), places[1::2], places[::2]


def times_covered(found: list[Segment], num_samples: int) -> NDArray[np.int64]:
    """How many segments each sample is in."""
    counts = np.zeros(num_samples, np.int64)
    for segment in found:
        counts[segment.start : segment.end] += 1
    return counts


def assert_valid(found: list[Segment], num_samples: int, max_segment_s: float) -> None:
    """Rising, disjoint, within the audio, not empty, not too long."""
    edges = [0, *itertools.chain.from_iterable((s.start, s.end) for s in found), num_samples]
    assert edges == sorted(edges)
    assert all(0 < s.end_s - s.start_s <= max_segment_s + 1e-9 for s in found)


def assert_around(found: list[Segment], spoken: list[Segment], *, late_s: float) -> None:
    """A segment around each part, less than 0.4 s before it and `late_s` after."""
    assert len(found) == len(spoken)
    for segment, part in zip(found, spoken, strict=True):
        assert 0 <= part.start_s - segment.start_s < 0.4
        assert 0 <= segment.end_s - part.end_s < late_s


def test_spoken_parts_are_covered_and_silence_is_not(
    silero: Detector, sentences: list[Audio]
) -> None:
    """Each sentence lies in one segment of its own, with at most 0.4 s of silence beside it."""
    audio, spoken, _ = with_pauses(sentences, 2.0)
    found = cut(audio, silero, max_segment_s=30.0)
    assert_valid(found, len(audio), 30.0)
    assert_around(found, spoken, late_s=0.4)


def test_short_pauses_stay_inside_a_segment(silero: Detector, sentences: list[Audio]) -> None:
    """What fits is one segment: context helps, and each piece costs a prompt."""
    audio, spoken, _ = with_pauses(sentences, 0.5)
    [found] = cut(audio, silero, max_segment_s=30.0)
    assert found.start <= spoken[0].start
    assert found.end >= spoken[-1].end


def test_silence_and_noise_give_nothing(silero: Detector) -> None:
    """No segments: digital silence, no samples at all, and quiet noise."""
    quiet = 0.01 * noise(3.0)
    for audio in (np.zeros(3 * RATE_HZ, np.float32), np.zeros(0, np.float32), quiet):
        assert cut(audio, silero, max_segment_s=1.0) == []


@pytest.mark.parametrize("max_segment_s", [1.0, 2.3, 5.0])
def test_no_detected_speech_is_lost(
    silero: Detector, sentences: list[Audio], max_segment_s: float
) -> None:
    """Speech without a pause is cut within the limit; each detected sample is in one segment."""
    audio = np.concatenate([*sentences, *sentences, np.zeros(3 * RATE_HZ, np.float32), *sentences])
    found = cut(audio, silero, max_segment_s=max_segment_s)
    assert_valid(found, len(audio), max_segment_s)
    detected = times_covered(silero.speech(audio), len(audio)) > 0
    assert detected.mean() > 0.7
    assert (times_covered(found, len(audio))[detected] == 1).all()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_detected_is_cut_well(seed: int) -> None:
    """For random detections: valid, complete, without long silence, and not to be merged more."""
    draw = np.random.default_rng(seed)
    edges = np.sort(draw.choice(40 * RATE_HZ, size=2 * draw.integers(1, 30), replace=False))
    speech = [Segment(start, end) for start, end in edges.reshape(-1, 2).tolist()]
    limit_s = float(draw.uniform(1.0, 8.0))
    audio = noise(40.0, seed)
    found = cut(audio, Fixed(speech), max_segment_s=limit_s)
    assert_valid(found, len(audio), limit_s)
    detected = times_covered(speech, len(audio))
    covered = times_covered(found, len(audio))
    assert (covered[detected > 0] == 1).all()
    for one, other in itertools.pairwise(speech):
        if other.start - one.end > MAX_GAP:
            assert not covered[one.end : other.start].any()
    for first, second in itertools.pairwise(found):
        too_long = second.end_s - first.start_s > limit_s - 1 / RATE_HZ
        assert too_long or second.start - first.end > MAX_GAP
    assert found == cut(audio, Fixed(speech), max_segment_s=limit_s)


def test_long_speech_is_cut_at_its_quietest_place() -> None:
    """In a pause of 0.3 s near the limit, not in an earlier one nor the silence of a geminate."""
    audio = 0.3 * np.random.default_rng(0).standard_normal(12 * RATE_HZ).astype(np.float32)
    audio[2 * RATE_HZ : 3 * RATE_HZ] = 0.0
    audio[7 * RATE_HZ : round(7.3 * RATE_HZ)] *= 0.05
    audio[9 * RATE_HZ : round(9.1 * RATE_HZ)] = 0.0
    first, second = cut(audio, Fixed([Segment(0, len(audio))]), max_segment_s=10.0)
    assert first.end == second.start
    assert 7.1 <= first.end_s <= 7.2


def test_the_rest_of_a_cut_is_long_enough_to_recognise() -> None:
    """Speech a little above the limit leaves at least a quarter of it, wherever it is quiet."""
    audio = noise(10.01)
    audio[round(9.8 * RATE_HZ) :] = 0.0
    found = cut(audio, Fixed([Segment(0, len(audio))]), max_segment_s=10.0)
    assert len(found) == 2
    assert min(s.end - s.start for s in found) >= 2.5 * RATE_HZ


def test_detection_depends_on_no_setting_of_torch_and_leaves_none_behind() -> None:
    """One thread, float32, no graph inside; the caller's settings after, also of the import."""
    threads = torch.get_num_threads()
    weight = torch.ones(2, 2, requires_grad=True)
    for module in [name for name in sys.modules if "silero" in name]:
        del sys.modules[module]
    try:
        torch.set_num_threads(3)
        with torch.autocast("cpu", torch.bfloat16):
            with plain_torch():
                assert torch.get_num_threads() == 1
                product = weight @ weight
                assert product.dtype == torch.float32
                assert not product.requires_grad
            load_detector("silero").speech(noise(0.1))
            assert torch.get_num_threads() == 3
            assert (weight @ weight).dtype == torch.bfloat16
    finally:
        torch.set_num_threads(threads)


def test_what_cannot_be_used_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown kinds, directories too many or too few, tiny limits; a missing package's pip line."""
    with pytest.raises(ConfigError, match=r"'webrtc'\. Allowed: silero, fsmn"):
        load_detector("webrtc")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="in its wheel"):
        load_detector("silero", Path("models/vad"))
    with pytest.raises(ConfigError, match="needs a model directory"):
        load_detector("fsmn")
    for limit_s in (0.0, 0.99, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="least limit"):
            cut(noise(2.0), Never(), max_segment_s=limit_s)
    monkeypatch.delitem(sys.modules, "galgame_asr.decoding.silero")
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    with pytest.raises(ConfigError, match=r"silero_vad is not installed: pip .*\[subtitle\]"):
        load_detector("silero")


def test_fsmn_finds_what_is_loud(directory: Path) -> None:
    """Segments cover the loud parts, with 0.2 s before, and not the silence; exact on each run."""
    detector = load_detector("fsmn", directory)
    audio, loud, _ = with_pauses([noise(s, 1) for s in (1.0, 2.5, 1.7)], 2.0)
    found = cut(audio, detector, max_segment_s=30.0)
    assert_valid(found, len(audio), 30.0)
    assert_around(found, loud, late_s=1.0)
    assert cut(audio, load_detector("fsmn", directory), max_segment_s=30.0) == found


def test_fsmn_takes_audio_of_any_length(directory: Path) -> None:
    """From nothing to more than the minute that funasr reads at once and would cut at."""
    detector = load_detector("fsmn", directory)
    for num_samples in (0, 1, 399, 400, 1200, 4000):
        audio = np.zeros(num_samples, np.float32)
        assert cut(audio, detector, max_segment_s=1.0) == []
    audio = np.tile(noise(8.1), 8)
    [speech] = detector.speech(audio)
    assert speech.start_s < 0.2
    assert len(audio) - speech.end < 0.025 * RATE_HZ


@pytest.mark.parametrize("name", ["config.yaml", "am.mvn", "model.pt"])
def test_a_missing_file_is_named(directory: Path, name: str) -> None:
    """Each file of FunASR's layout is needed."""
    (directory / name).unlink()
    with pytest.raises(CheckpointError, match=f"{directory / name} is missing"):
        load_detector("fsmn", directory)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.yaml", "model: FunASRNano", "of model FunASRNano, not of FsmnVADStreaming"),
        ("config.yaml", "model: FsmnVADStreaming", "does not describe an FSMN-VAD.*model_conf"),
        ("config.yaml", "{", "not valid YAML"),
        ("am.mvn", "\n", "am.mvn cannot be read"),
        ("am.mvn", "<Nnet>\n</Nnet>\n", "am.mvn has shape"),
        ("model.pt", "no weights", "model.pt cannot be read"),
    ],
)
def test_a_damaged_file_is_named(directory: Path, name: str, text: str, message: str) -> None:
    """Also a file of another model."""
    (directory / name).write_text(text)
    with pytest.raises(CheckpointError, match=message):
        load_detector("fsmn", directory)


def test_long_audio_is_transcribed_in_pieces() -> None:
    """Texts are joined in order and numbers summed; short audio stays whole, silence is empty."""
    audios = [noise(9.0, 1), noise(2.0, 2), noise(12.0, 3)]
    seen: list[Audio] = []

    def listen(pieces: list[Audio]) -> list[Transcript]:
        seen.extend(pieces)
        return [Transcript(f"{i}、", i + 1, -0.5 * i) for i in range(len(pieces))]

    speech = [Segment(0, 3 * RATE_HZ), Segment(5 * RATE_HZ, 8 * RATE_HZ)]
    found = long_audio.transcribe(audios, Fixed(speech), listen, max_segment_s=4.0)
    assert found == [
        Transcript("0、1、", 3, -0.5),
        Transcript("2、", 3, -1.0),
        Transcript("3、4、", 9, -3.5),
    ]
    assert [len(piece) / RATE_HZ for piece in seen] == [3.0, 3.0, 2.0, 3.0, 3.0]
    np.testing.assert_array_equal(seen[1], audios[0][5 * RATE_HZ : 8 * RATE_HZ])


def test_only_what_is_longer_than_a_piece_is_searched_for_speech() -> None:
    """Up to the limit the detector is not asked, so that its mistakes cost nothing there."""
    audio = noise(4.0)
    [piece] = long_audio.expand(audio, Never(), max_segment_s=4.0)
    assert piece is audio


def test_silence_has_an_empty_transcript() -> None:
    """Nothing is transcribed if there are no pieces."""

    def listen(pieces: list[Audio]) -> list[Transcript]:
        raise AssertionError(f"asked for {len(pieces)} pieces")

    silence = np.zeros(5 * RATE_HZ, np.float32)
    found = long_audio.transcribe([silence] * 2, Fixed([]), listen, max_segment_s=4.0)
    assert found == [Transcript("", 0, 0.0)] * 2
    assert long_audio.transcribe([], Never(), listen, max_segment_s=4.0) == []
