"""What an entry of kind `synthetic` of section `corpora` may say."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from galgame_asr.core.params import section
from galgame_asr.corpora.common.types import ShardSize


@section
class Synthetic:
    """Speech rendered from the project's own sentences."""

    kind: Literal["synthetic"]
    # vn: visual-novel lines in several characters' voices; sequel: the same lines, with the names
    # written otherwise; reading: narration in one voice; noise: clips of music and noise.
    recipe: Literal["vn", "sequel", "reading", "noise"]
    # How many utterances to render: each sentence once, and, if these are more than the recipe has
    # sentences, again by characters who have not said it; those set the limit.
    utterances: Annotated[int, Field(ge=1)]
    # Draws the sentences, characters and music.
    seed: int
    # Utterances per tar shard.
    shard_size: ShardSize
    # Each utterance over music or noise that is so many decibels below it, drawn between these;
    # null: as it is.
    noise_snr_db: tuple[float, float] | None = None
    # Share of the labels that are made wrong, in five ways, to try an audit on: see labels.py.
    corrupt_labels: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def not_speech(self) -> bool:
        """Whether there is no speech in it."""
        return self.recipe == "noise"

    @model_validator(mode="after")
    def _speech_is_drowned(self) -> "Synthetic":
        if self.noise_snr_db is not None and (
            self.not_speech or self.noise_snr_db[0] > self.noise_snr_db[1]
        ):
            raise ValueError("noise_snr_db rises, as [0.0, 10.0], and is for speech alone")
        return self


Entry = Synthetic
