"""Checks of an utterance's audio file by its headers, and of its length against the text."""

from galgame_asr.manifests import headers
from galgame_asr.manifests.headers import AudioHeader
from galgame_asr.manifests.params import ManifestParams
from galgame_asr.messages.errors import DataError

EXPECTED_RATE_HZ = 16_000


def check(data: bytes | None, params: ManifestParams) -> tuple[AudioHeader | None, list[str]]:
    """The headers of an audio file, if it has any, and what is wrong with it.

    Args:
        data: the file's bytes; None if there is no file.
        params: limits of duration.
    """
    if data is None:
        return None, ["audio_missing"]
    if not data:
        return None, ["audio_empty"]
    try:
        header = headers.read(data)
    except DataError:
        return None, ["audio_unreadable"]
    found = {
        "audio_truncated": not header.complete,
        "sample_rate": header.sample_rate_hz != EXPECTED_RATE_HZ,
        "channels": header.channels != 1,
        "too_short": header.duration_s < params.min_duration_s,
        "too_long": header.duration_s > params.max_duration_s,
    }
    return header, [flag for flag, is_so in found.items() if is_so]


def check_rate(letters: int, duration_s: float, params: ManifestParams) -> list[str]:
    """Whether so many letters can be said in that time: else the text is of another utterance."""
    if not letters or duration_s <= 0:
        return []
    letters_per_s = letters / duration_s
    if letters_per_s > params.max_letters_per_s:
        return ["too_fast"]
    return ["too_slow"] if letters_per_s < params.min_letters_per_s else []
