"""Section `manifest`: which utterances are usable."""

import re
from dataclasses import fields, replace
from typing import Annotated, Literal

from pydantic import Field, field_validator

from galgame_asr.core.params import hint, section

Severity = Literal["fail", "drop", "warn"]
Markup = Literal["control", "ruby", "tags", "codes", "speaker"]  # rules of checks/markup.py
# By kind of corpus or by its name: flags whose severity is another there.
Exceptions = dict[str, dict[str, Severity]]
Share = Annotated[float, Field(ge=0, le=1)]


@section
class SignalParams:
    """Checks of the samples; dev and test sets are always checked whole."""

    # Share of each corpus that is checked, by the hash of the id; decoding takes time.
    share: Share
    # Samples against the length that the headers announce.
    max_length_error_s: Annotated[float, Field(gt=0)]
    # Silent: a peak, or a root mean square, below this; full scale is 1.
    silent_peak: Share
    silent_rms: Share
    # Clipped: a larger share of the samples than this at or above the level.
    clipped_level: Share
    max_clipped_share: Share
    max_dc_offset: Share


@section
class FlagSeverity:
    """What a flag does: stop the stage, keep the row out of every split, or only count."""

    # No text file beside the audio, or no audio file beside the text.
    text_missing: Severity
    audio_missing: Severity
    # The text file: nothing but space, no letter and no number, NUL characters, not UTF-8,
    # a byte order mark, markup that nobody says, more than one line, characters outside the
    # corpus's charset.
    text_empty: Severity
    text_symbols: Severity
    text_nul: Severity
    text_not_utf8: Severity
    text_bom: Severity
    text_markup: Severity
    text_multiline: Severity
    text_charset: Severity
    # The audio file by its headers: no bytes, no audio, cut short, not 16 kHz, not mono,
    # outside the limits of duration.
    audio_empty: Severity
    audio_unreadable: Severity
    audio_truncated: Severity
    sample_rate: Severity
    channels: Severity
    too_short: Severity
    too_long: Severity
    # More or fewer letters per second than anyone says.
    too_fast: Severity
    too_slow: Severity
    # The samples of those that were decoded.
    decode_error: Severity
    length_mismatch: Severity
    silent: Severity
    clipped: Severity
    dc_offset: Severity
    # The same id twice in a corpus (both); the same audio bytes, or the same text with the
    # same duration, as an earlier utterance.
    duplicate_id: Severity
    duplicate_audio: Severity
    duplicate_text: Severity


@section
class ManifestParams:
    """Limits and severities of the checks on every utterance."""

    min_duration_s: Annotated[float, Field(ge=0)]
    max_duration_s: Annotated[float, Field(gt=0)]
    min_letters_per_s: Annotated[float, Field(ge=0)]
    max_letters_per_s: Annotated[float, Field(gt=0)]
    # By corpus: a regular expression of the characters its texts may have.
    charset: dict[str, str]
    # By corpus: what of the markup in its texts is taken out.
    clean: dict[str, tuple[Markup, ...]]
    signal: SignalParams
    severity: FlagSeverity
    exceptions: Exceptions

    @field_validator("charset")
    @classmethod
    def _charsets_compile(cls, charset: dict[str, str]) -> dict[str, str]:
        for corpus, pattern in charset.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"{corpus}: {pattern!r} is no regular expression: {error}"
                ) from None
        return charset

    @field_validator("exceptions")
    @classmethod
    def _flags_exist(cls, exceptions: Exceptions) -> Exceptions:
        known = [flag.name for flag in fields(FlagSeverity)]
        for corpus, flags in exceptions.items():
            for flag in flags.keys() - set(known):
                raise ValueError(f"{corpus}: there is no flag '{flag}'. {hint(flag, known)}")
        return exceptions


def severity_of(
    corpus: str, kind: str, severity: FlagSeverity, exceptions: Exceptions
) -> FlagSeverity:
    """What flags do in one corpus: exceptions of its name count before those of its kind."""
    return replace(severity, **exceptions.get(kind, {}) | exceptions.get(corpus, {}))
