"""Section `split`: which utterances train, tune and test."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from galgame_asr.core.params import section

Share = Annotated[float, Field(ge=0, lt=1)]


@section
class Shares:
    """How much of a corpus is held out."""

    dev: Share
    test: Share

    @model_validator(mode="after")
    def _leave_training_data(self) -> "Shares":
        if self.dev + self.test >= 1:
            raise ValueError(f"dev + test is {self.dev + self.test}; it must stay below 1")
        return self


@section
class SplitParams(Shares):
    """A hash of each utterance's group decides; adding data moves nothing."""

    # Changes every assignment; raise it only to draw new sets.
    salt: str
    # Other shares of the groups than `dev` and `test`, by corpus.
    exceptions: dict[str, Shares]
    # Texts of at least so many letters share one group across voices and corpora;
    # shorter ones only if their durations agree, or one "はい" would tie thousands together.
    group_min_letters: Annotated[int, Field(ge=1)]
    # Corpora whose test rows show what was forgotten: never in the test set proper.
    out_of_domain: tuple[str, ...]
    # Groups of `score.groups` whose utterances all test, so that none of a game was trained on.
    hold_out: tuple[str, ...]
    # Two sets that share an utterance, as can happen where a corpus's makers chose the test
    # set: stop (fail), or leave out the row of the less important set (drop).
    on_leak: Literal["fail", "drop"]
    # Keep at most so many rows of each test set, nested: 1000 are among 2000. null: all.
    test_limit: Annotated[int, Field(ge=1)] | None
    # Fewest rows of a corpus in a test set, unless it has none: fewer decide nothing.
    min_test: Annotated[int, Field(ge=1)]
    # Rows of the dev set that are decoded too, nested: the best variant is chosen by them. Of
    # corpora that are not out of domain, as long as those have any.
    dev_sample: Annotated[int, Field(ge=1)]
