"""Section `decode`: which checkpoints are transcribed, and how."""

from typing import Annotated

from pydantic import Field

from galgame_asr.params import section


@section
class DecodeParams:
    """Greedy decoding in batches of similar length."""

    # Checkpoints to transcribe the test sets with: base, or PHASE/pNN.
    checkpoints: Annotated[tuple[str, ...], Field(min_length=1)]
    # 10 ms feature frames per batch, padding included; no influence on the text.
    batch_frames: Annotated[int, Field(ge=1)]
    # Longest transcript of one utterance, in tokens.
    max_new_tokens: Annotated[int, Field(ge=1)]
