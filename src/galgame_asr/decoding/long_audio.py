"""Transcribing audio longer than a model takes: in pieces of speech, joined again."""

from collections.abc import Callable, Sequence

from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.decoding.segments import Audio, Detector, cut
from galgame_asr.families.common.transcript import Transcript


def transcribe(
    audios: Sequence[Audio],
    detector: Detector,
    transcribe_pieces: Callable[[list[Audio]], list[Transcript]],
    *,
    max_segment_s: float,
) -> list[Transcript]:
    """Transcribe audio of any length, one transcript each, in order.

    Args:
        audios: 16 kHz mono samples in [-1, 1].
        detector: finds the speech of what is longer than `max_segment_s`.
        transcribe_pieces: transcribes the pieces of all of them at once, so that
            it can batch them by length; not called without pieces.
        max_segment_s: longest piece.

    Raises:
        ConfigError: as for `segments.cut`.
    """
    owners: list[int] = []
    pieces: list[Audio] = []
    for owner, audio in enumerate(audios):
        own = expand(audio, detector, max_segment_s=max_segment_s)
        owners += [owner] * len(own)
        pieces += own
    parts: list[list[Transcript]] = [[] for _ in audios]
    transcripts = transcribe_pieces(pieces) if pieces else []
    for owner, transcript in zip(owners, transcripts, strict=True):
        parts[owner].append(transcript)
    return [join(own) for own in parts]


def expand(audio: Audio, detector: Detector, *, max_segment_s: float) -> list[Audio]:
    """Views of the pieces to transcribe: the audio itself if it is no longer than a piece.

    Raises:
        ConfigError: as for `segments.cut`.
    """
    if len(audio) <= max_segment_s * SAMPLE_RATE_HZ:
        return [audio]
    segments = cut(audio, detector, max_segment_s=max_segment_s)
    return [audio[segment.start : segment.end] for segment in segments]


def join(transcripts: Sequence[Transcript]) -> Transcript:
    """One transcript out of those of consecutive pieces; an empty one out of none.

    Japanese needs no space between them. Pieces are independent, so the
    probability of all texts is the product of theirs.
    """
    log_probs = [transcript.log_prob for transcript in transcripts]
    known = [log_prob for log_prob in log_probs if log_prob is not None]
    return Transcript(
        "".join(transcript.text for transcript in transcripts),
        sum(transcript.num_tokens for transcript in transcripts),
        sum(known, start=0.0) if len(known) == len(log_probs) else None,
    )
