"""What entries of several kinds of baselines may say."""

from dataclasses import asdict
from typing import Annotated

from pydantic import Field, model_validator

from galgame_asr.core.params import Revision, section
from galgame_asr.decoding.params import LongAudioParams, SearchParams
from galgame_asr.families.common.defaults import MAX_TOKENS_PER_S
from galgame_asr.families.common.params import Prompt

# By names of their own, as each model has its own names of languages.
Prompts = Annotated[dict[str, Prompt], Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@section
class HubFiles:
    """A repository of the Hugging Face hub; sources/ pins size and SHA-256 of its files."""

    repo: str
    revision: Revision
    # Shell patterns of the files that the model is; others are not downloaded.
    files: Annotated[tuple[str, ...], Field(min_length=1)]


@section
class PackagedFiles:
    """Installed packages of Python with files in folders `data`.

    NAME.part1, NAME.part2 and so on are the parts of file NAME.
    """

    packages: Annotated[tuple[str, ...], Field(min_length=1)]
    # By file, of the whole; those that are not named are not checked.
    sha256: dict[str, Sha256]


@section
class Files:
    """Where the files of a model are: one of three."""

    hub: HubFiles | None = None
    # A model directory on this machine; where its content changes, DVC does not see it.
    directory: str | None = None
    packaged: PackagedFiles | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "Files":
        given = [name for name, value in asdict(self).items() if value]
        if len(given) != 1:
            raise ValueError(
                "there must be one of hub, directory and packaged; found "
                f"{' and '.join(given) or 'none'}"
            )
        return self


@section
class Search:
    """How texts are searched for, as in section `decode`: as the model's makers say."""

    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens_per_s: Annotated[float, Field(gt=0)] = MAX_TOKENS_PER_S
    beams: Annotated[int, Field(ge=1)] = 1
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0

    def beside(self, long_audio: LongAudioParams) -> SearchParams:
        """With how long audio is cut, which is the run's."""
        return SearchParams(**asdict(self), long_audio=long_audio)
