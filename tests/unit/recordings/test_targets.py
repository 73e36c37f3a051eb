"""Where the result of a file goes."""

import argparse
from pathlib import Path

import pytest

from galgame_asr.messages.errors import ConfigError
from galgame_asr.recordings.files import targets


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scene.mp4", "scene.srt"), ("scene", "scene.srt"), ("v1.2 extra", "v1.2 extra.srt"),
        ("v1.2", "v1.2.srt"), ("v1.2.mkv", "v1.2.srt"), ("第1話.MP3", "第1話.srt"),
    ],
)  # fmt: skip
def test_only_an_extension_is_replaced(tmp_path: Path, name: str, expected: str) -> None:
    """What follows a dot inside of a title stays; beside the file and in a folder alike."""
    file = tmp_path / name
    for output, folder in ((None, tmp_path), (tmp_path, tmp_path)):
        options = argparse.Namespace(output=output, files=[file], force=False)
        assert targets(options, ".srt") == [folder / expected]


def test_a_name_that_no_disk_takes_is_refused_first(tmp_path: Path) -> None:
    """Not after the whole recording has been transcribed; a title of 82 kana is no such name."""
    title, longer = (tmp_path / ("あ" * count + ".m") for count in (82, 84))
    options = argparse.Namespace(output=None, files=[title], force=False)
    assert targets(options, ".srt") == [title.with_suffix(".srt")]
    options.files = [longer]
    with pytest.raises(ConfigError, match="256 bytes"):
        targets(options, ".srt")


@pytest.mark.parametrize("output", ["x" * 256, "x" * 256 + ".srt", "a.wav/there"])
def test_an_output_that_cannot_be_written_is_refused_first(tmp_path: Path, output: str) -> None:
    """One line, before a model is loaded."""
    (tmp_path / "a.wav").touch()
    options = argparse.Namespace(output=tmp_path / output, files=[tmp_path / "a.wav"], force=False)
    with pytest.raises(ConfigError, match=r"bytes|cannot be written"):
        targets(options, ".srt")


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    """Not with --force either."""
    (tmp_path / "a.srt").mkdir()
    options = argparse.Namespace(output=None, files=[tmp_path / "a.wav"], force=True)
    with pytest.raises(ConfigError, match=r"a\.srt is a folder"):
        targets(options, ".srt")


def test_a_folder_as_input_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.` has no name; that it is no recording, its reader says."""
    monkeypatch.chdir(tmp_path)
    options = argparse.Namespace(output=None, files=[Path()], force=False)
    assert targets(options, ".srt") == [Path(".srt")]
