"""Section `decode`: which checkpoints are transcribed, and how."""

from typing import Annotated, Literal

from pydantic import Field

from galgame_asr.core.params import section

Checkpoints = Annotated[tuple[str, ...], Field(min_length=1)]


@section
class LongAudioParams:
    """Audio longer than a model takes is cut where a voice activity detector (VAD) hears pauses."""

    # Longest piece; shorter audio is not cut.
    max_segment_s: Annotated[float, Field(ge=1)]
    # silero: silero-vad; fsmn: FunASR's FSMN-VAD, from a directory.
    vad: Literal["silero", "fsmn"]
    # Of fsmn, with config.yaml, model.pt and am.mvn; null for silero.
    directory: str | None


@section
class SearchParams:
    """How texts are searched for."""

    # Longest transcript of one utterance, in tokens: this many (null: any), and at most so many
    # per second of audio and 8 more. What is longer is a loop.
    max_new_tokens: Annotated[int, Field(ge=1)] | None
    max_tokens_per_s: Annotated[float, Field(gt=0)]
    # Hypotheses kept at each step; 1 is greedy.
    beams: Annotated[int, Field(ge=1)]
    # No sequence of so many tokens twice in a text, another guard against loops; 0 allows all.
    no_repeat_ngram_size: Annotated[int, Field(ge=0)]
    long_audio: LongAudioParams


@section
class DecodeParams(SearchParams):
    """Decoding in batches of similar length."""

    # Checkpoints to transcribe the test sets with: base, PHASE/pNN, an averaged model, or
    # export/NAME.
    checkpoints: Checkpoints
