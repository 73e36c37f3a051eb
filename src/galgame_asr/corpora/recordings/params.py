"""What an entry of kind `recordings` of section `corpora` may say."""

from typing import Annotated, Literal

from pydantic import Field

from galgame_asr.core.params import section
from galgame_asr.corpora.common.types import Limit, ShardSize


@section
class Recordings:
    """Audio and video files of any length, and subtitles beside them.

    `path` is a folder, of which all below is read. NAME.srt, NAME.vtt or NAME.ass beside NAME.mp4
    (also NAME.ja.srt) says when what is said there; each cue is an utterance. NAME.draft.srt is a
    model's: its cues, and the speech of a file without subtitles, are drafts, which are in no set
    until a person accepts them in corrections/CORPUS.tsv; or, by `pseudo_max_cer`, NAME.draft2.srt.
    """

    kind: Literal["recordings"]
    path: str
    shard_size: ShardSize
    # Most seconds that cues are shown early or late; they are moved to the speech. 0: not at all.
    max_shift_s: Annotated[float, Field(ge=0, le=60)] = 2.0
    # A draft is trained on, with the flag `pseudo`, if a second model, whose NAME.draft2.srt is
    # beside NAME.draft.srt, says the same but for this share of the letters. null: none is.
    pseudo_max_cer: Annotated[float, Field(ge=0, lt=1)] | None = None
    # false: audio stays where it is, and is read there by every stage: of WAV, FLAC, AIFF and CAF.
    copy: bool = True
    limit: Limit | None = None


Entry = Recordings
