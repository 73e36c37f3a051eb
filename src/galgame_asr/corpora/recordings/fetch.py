"""Audio and video files of any length, cut into utterances by the subtitles beside them."""

import io
import itertools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unicodedata import normalize

import numpy as np
import soundfile as sf
from rapidfuzz.distance import Levenshtein

from galgame_asr.core import processes
from galgame_asr.core.reader import SAMPLE_RATE_HZ, part
from galgame_asr.corpora.recordings import containers, subtitles, timing
from galgame_asr.corpora.recordings.params import Recordings
from galgame_asr.corpora.recordings.speech import Audio, Heard, Span, hear
from galgame_asr.corpora.recordings.timing import Cue
from galgame_asr.messages.console import Progress, log
from galgame_asr.messages.errors import DataError
from galgame_asr.shards import folder as shards
from galgame_asr.shards import in_place
from galgame_asr.shards.folder import DRAFT, PSEUDO, Shard, Utterance

MEDIA = {
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".m4a", ".aac", ".wma",
    ".mp4", ".m4b", ".m4v", ".mkv", ".mka", ".mov", ".webm", ".amr", ".3gp", ".ape", ".wv", ".caf",
    ".avi", ".ts",
}  # fmt: skip
FORK = "._"  # how macOS begins the name of a second file where a disk has no room in the first
# NAME.draft.srt: a model's subtitles; NAME.draft2.srt: another model's.
MODELS, OTHERS = ".draft", ".draft2"
# Cues that are shown together for so long have each other's speech in them.
OVERLAP_S = 0.3
# A piece of a recording without subtitles: its longest, and its longest pause.
PIECE_S, PAUSE_S = 12.0, 0.5


@dataclass(frozen=True)
class Recording:
    """A media file, its subtitles if there are any, and whether models wrote them."""

    file: Path
    name: str  # below the folder, without its suffix
    subtitles: Path | None
    is_draft: bool
    second: Path | None = None  # what another model wrote


@dataclass(frozen=True)
class Piece:
    """An utterance: a part of a recording, its text, and how sure it is.

    Attributes:
        upstream_set: DRAFT, PSEUDO, or None of what a person wrote.
    """

    id: str
    file: Path
    span_s: Span
    text: str | None
    upstream_set: str | None


def fetch(name: str, corpus: Recordings, directory: Path) -> list[Shard]:
    """Cut the recordings into shards, each of one upstream set; see `corpora.fetch`.

    Where they stay, list their parts.
    """
    found = recordings(Path(corpus.path))
    root = None
    if not corpus.copy:
        files = [recording.file for recording in found]
        root = in_place.link(name, files, files)
        log.info("%s: its audio stays in %s", name, root)
    pieces: list[Piece] = []
    with (
        Progress(f"listen to {name}", total=len(found), unit="files") as progress,
        processes.pool() as pool,
    ):
        for own in pool.map(partial(_pieces, corpus=corpus), found):
            pieces += own
            progress.update(1)
    utterances = _copies if root is None else partial(_places, root)
    made: list[Shard] = []
    # In this order: of two equal rows the later has the flag.
    for kind, upstream_set in (("cues", None), ("pseudo", PSEUDO), ("drafts", DRAFT)):
        own = [piece for piece in pieces if piece.upstream_set == upstream_set]
        made += shards.write(
            directory, f"{name}-{kind}", partial(utterances, own),
            shard_size=corpus.shard_size, total=len(own), upstream_set=upstream_set,
            suffix=shards.TAR if root is None else shards.FILES,
        )  # fmt: skip
    return made


def recordings(root: Path) -> list[Recording]:
    """The media files anywhere below a folder, sorted by name, with their subtitles.

    Raises:
        DataError: there is none, two have one name, one has two subtitles or a second model's
            alone, or a name is no UTF-8.
    """
    files = [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(FORK)
    ]
    media: dict[Path, Path] = {}
    for path in files:
        if path.suffix.lower() not in MEDIA:
            continue
        if (other := media.setdefault(path.with_suffix(""), path)) != path:
            raise DataError(f"{other} and {path} would have the same ids; keep or rename one")
    if not media:
        raise DataError(f"{root} holds no recording ({', '.join(sorted(MEDIA))})")
    beside: dict[Path, list[Path]] = {stem: [] for stem in media}
    for path in files:
        if path.suffix.lower() in subtitles.SUFFIXES:
            own = path.with_suffix("")
            # NAME.ja.srt is of NAME.mp4 unless there is a NAME.ja.mp4.
            owner = own if own in media else own.with_suffix("")
            if owner in media:
                beside[owner].append(path)
            else:
                log.warning("%s has no recording beside it", path)
    return [_recording(root, stem, media[stem], beside[stem]) for stem in media]


def _recording(root: Path, stem: Path, file: Path, found: Sequence[Path]) -> Recording:
    name = normalize("NFC", stem.relative_to(root).as_posix())
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"the name {name!r} below {root} is no UTF-8; rename the file") from None
    drafts, second = (
        [path for path in found if Path(path.stem).suffix == writer] for writer in (MODELS, OTHERS)
    )
    people = [path for path in found if path not in (*drafts, *second)]
    own = people or drafts
    for files in own, second:
        if len(files) > 1:
            listed = ", ".join(map(str, files))
            raise DataError(f"{file} has {len(files)} subtitles, {listed}; keep one")
    if second and not own:
        raise DataError(f"{second[0]} is a second model's, but there is no first one's, {MODELS}")
    return Recording(
        file, name, own[0] if own else None, is_draft=not people, second=next(iter(second), None)
    )


def _pieces(recording: Recording, corpus: Recordings) -> list[Piece]:
    """The utterances of a recording, in the order of their times."""
    cues = subtitles.read(recording.subtitles) if recording.subtitles else None
    heard = hear(_decoded(recording.file))
    if cues is None:
        return [_piece(recording, span, span, None, DRAFT) for span in speech(heard)]
    spans = timing.fit(cues, heard, corpus.max_shift_s)
    crowded = overlapping(cues)
    agreed = _agreed(recording, cues, corpus.pseudo_max_cer)
    pieces = []
    for number, (cue, span) in enumerate(zip(cues, spans, strict=True)):
        has_words = any(map(str.isalnum, cue.text))
        doubtful = span is None or number in crowded or not has_words
        shown = (cue.start_s, min(cue.end_s, heard.duration_s))
        if operator.ge(*(span or shown)):
            log.warning("%s: %r is shown after the end", recording.subtitles, cue.text)
            continue
        by_model = PSEUDO if number in agreed else DRAFT
        upstream_set = DRAFT if doubtful else by_model if recording.is_draft else None
        pieces.append(_piece(recording, shown, span or shown, cue.text, upstream_set))
    moved = [span[0] - cue.start_s for cue, span in zip(cues, spans, strict=True) if span]
    log.info(
        "%s: %d cues, which begin %.2f to %.2f s later than shown, %.2f in the middle; %d drafts, "
        "%d pseudo", recording.name, len(cues), min(moved, default=0), max(moved, default=0),
        float(np.median(moved or [0])),
        *(sum(piece.upstream_set == one for piece in pieces) for one in (DRAFT, PSEUDO)),
    )  # fmt: skip
    return pieces


def _piece(
    recording: Recording, named: Span, span: Span, text: str | None, upstream_set: str | None
) -> Piece:
    """A piece whose id has the times that are written, so that no detector changes it."""
    id_ = f"{recording.name}-{named[0]:.3f}-{named[1]:.3f}"
    return Piece(id_, recording.file, span, text, upstream_set)


def _agreed(recording: Recording, cues: Sequence[Cue], max_cer: float | None) -> set[int]:
    """The numbers of a model's cues of which another model says the same."""
    if max_cer is None or not recording.is_draft:
        return set()
    if recording.second is None:
        log.info("%s: no second model's subtitles, %s, agree", recording.name, OTHERS)
        return set()
    said = said_within(cues, subtitles.read(recording.second))
    pairs = [(_letters(cue.text), _letters(text)) for cue, text in zip(cues, said, strict=True)]
    # Of the longer text, so that neither model counts as the right one.
    off = Levenshtein.normalized_distance
    return {number for number, pair in enumerate(pairs) if all(pair) and off(*pair) <= max_cer}


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, normalize("NFKC", text).lower()))


def said_within(cues: Sequence[Cue], others: Sequence[Cue]) -> list[str]:
    """What others say while each cue is shown: a text is of the cue that its middle is in.

    >>> said_within([Cue(0, 2, "ab"), Cue(2, 3, "c")], [Cue(0, 1, "a"), Cue(1, 2.2, "b")])
    ['ab', '']
    """
    said = [""] * len(cues)
    for other in others:
        middle_s = (other.start_s + other.end_s) / 2
        for number, cue in enumerate(cues):
            if cue.start_s <= middle_s < cue.end_s:
                said[number] += other.text
    return said


def overlapping(cues: Sequence[Cue]) -> set[int]:
    """The numbers of cues that are shown together with another for more than OVERLAP_S."""
    found, longest = set(), 0
    for number in range(1, len(cues)):
        if cues[longest].end_s - cues[number].start_s > OVERLAP_S:
            found |= {longest, number}
        if cues[number].end_s > cues[longest].end_s:
            longest = number
    return found


def speech(heard: Heard) -> list[Span]:
    """Pieces of speech: neighbours together while the pause is short and the piece not too long."""
    pieces: list[Span] = []
    for start_s, end_s in heard.spans:
        start = start_s
        while end_s - start > PIECE_S:
            at = heard.quietest(start + PIECE_S / 2, start + PIECE_S)
            pieces.append((start, at))
            start = at
        if pieces and start - pieces[-1][1] <= PAUSE_S and end_s - pieces[-1][0] <= PIECE_S:
            pieces[-1] = (pieces[-1][0], end_s)
        else:
            pieces.append((start, end_s))
    return [span for span in timing.with_margins(pieces, heard.duration_s) if span]


def _copies(pieces: Sequence[Piece], start: int) -> Iterator[Utterance]:
    for file, own in itertools.groupby(pieces[start:], key=lambda piece: piece.file):
        audio = _decoded(file)
        for piece in own:
            first, last = (round(time_s * SAMPLE_RATE_HZ) for time_s in piece.span_s)
            yield Utterance(piece.id, "flac", _flac(audio[first:last]), piece.text)


def _places(root: Path, pieces: Sequence[Piece], start: int) -> Iterator[Utterance]:
    for piece in pieces[start:]:
        try:
            of = sf.info(piece.file)
            first, last = (min(round(time_s * of.samplerate), of.frames) for time_s in piece.span_s)
            audio = part(piece.file, first, last)
        except (DataError, sf.SoundFileError, OSError) as error:
            raise DataError(f"{piece.id!r} of {piece.file}: {error}") from None
        place = in_place.place(root, piece.file, (first, last))
        yield Utterance(piece.id, "wav", audio, piece.text, place)


def _decoded(file: Path) -> Audio:
    return np.concatenate(list(containers.read(file)))


def _flac(audio: Audio) -> bytes:
    buffer = io.BytesIO()
    pcm = np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16)
    sf.write(buffer, pcm, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
