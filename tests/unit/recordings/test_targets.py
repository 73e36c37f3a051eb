"""Where the result of a file goes."""

import argparse
from pathlib import Path

import pytest

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
