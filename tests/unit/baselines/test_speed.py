"""Speed and size stand beside the rates, and in no file that is compared as a result."""

import time
from pathlib import Path
from typing import Any

import pytest

from galgame_asr.cli import dispatch
from galgame_asr.core.paths import SPEED
from galgame_asr.decoding import speed
from galgame_asr.messages.errors import DataError
from tests import whispers
from tests.unit.baselines.conftest import Run

PROMPTS: dict[str, Any] = {"japanese": {"language": "ja"}, "none": {}}


def decode(run: Run, batch_frames: int) -> speed.Speed:
    """What is recorded of a Whisper with its first prompt."""
    run.edit(lambda values: values["machine"].update(decode_batch_frames=batch_frames))
    entry = {"kind": "transformers", "model": {"directory": "theirs"}, "prompts": PROMPTS}
    run.decode("theirs", entry | {"search": {"max_new_tokens": 4}})
    found = speed.read(SPEED / "theirs-japanese.json")
    assert found
    return found


def test_every_run_is_recorded(run: Run) -> None:
    """With its conditions; under others the record begins anew."""
    whispers.build(Path("theirs"))
    one = decode(run, 9000)  # three windows of 30 s at once
    assert len(one.seconds) == 1
    under = one.conditions
    # Longest first: that is the first batch, of one, which is not timed.
    assert (under.utterances, under.batch_frames, under.cpu_threads) == (9, 9000, 1)
    assert under.audio_s == pytest.approx(sum(0.4 + n / 10 for n in range(9)), abs=0.1)
    assert under.precision == "float32"
    files = [f for f in Path("theirs").iterdir() if f.is_file()]
    assert under.size_mb == round(sum(f.stat().st_size for f in files) / 1e6, 1) > 0.5
    two = decode(run, 9000)
    assert two.conditions == under
    assert two.seconds[:1] == one.seconds
    low, high = two.range
    assert low <= two.rtfx <= high
    assert len(decode(run, 6000).seconds) == 1
    # One batch has nothing after it: no record, and no trouble.
    (SPEED / "theirs-japanese.json").unlink()
    with pytest.raises(AssertionError):
        decode(run, 100_000)


def test_the_page_shows_speed_and_size(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the rates, with device and scope, and a plot; a variant without a record has none."""
    whispers.build(Path("theirs"))
    run.report()
    with pytest.raises(DataError, match="logs/speed has no speed of any variant: decoding by one"):
        dispatch(["report", "--speed"])
    decode(run, 6000)
    text = run.report()
    results = Path("metrics/report.html").read_text()
    assert "RTFx" not in text + results
    before = (results, text)
    capsys.readouterr()
    dispatch(["report", "--speed"])
    printed = capsys.readouterr().out
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| theirs |")]
    recorded = speed.read(SPEED / "theirs-japanese.json")
    assert recorded
    assert rows[0][1] == "japanese"
    assert rows[0][4:] == [
        f"{recorded.rtfx:.1f}", "–", "1", f"{recorded.conditions.size_mb:.1f} |"
    ]  # fmt: skip
    assert "| base | none | 17.39% |" in printed
    assert "| – | – | – | – |" in printed
    assert recorded.conditions.device in printed
    assert speed.SCOPE in printed
    page = Path("report-speed.html").read_text()
    assert "CER against speed, in domain (test)" in page
    assert "RTFx" in page
    assert recorded.conditions.device in page
    assert (Path("metrics/report.html").read_text(), run.report()) == before


def test_the_first_batch_is_not_timed() -> None:
    """In it runtimes load and warm up."""
    clock = speed.Clock()
    time.sleep(0.2)
    clock.batch(10, 100.0)
    clock.batch(2, 3.0)
    clock.batch(1, 2.0)
    assert (clock.utterances, clock.audio_s) == (3, 5.0)
    assert clock.seconds < 0.1


def test_a_record_of_another_version_is_none(tmp_path: Path) -> None:
    """Nothing is compared with it, nor fails by it."""
    file = tmp_path / "x.json"
    for text in ("{}", "{", '{"conditions": {"device": "x"}, "seconds": [1]}'):
        file.write_text(text)
        assert speed.read(file) is None
    assert speed.read(tmp_path / "y.json") is None
