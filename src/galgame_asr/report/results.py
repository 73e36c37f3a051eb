"""What the report shows of one test set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from galgame_asr.report.confusions import Confusions
from galgame_asr.scoring.confidence import Decision

TITLES = {"test": "In domain (test)", "ood": "Out of domain (ood)"}
# Groupings of a summary, and what the report calls them.
GROUPS = {
    "by_duration": "Duration",
    "by_script": "Script of the reference",
    "by_speech": "Kind of line",
    "by_corpus": "Corpus",
    "by_group": "Group",
}
NAMED = ("by_corpus", "by_group")  # by names that people gave
MOST_GROUPS = 20  # of `by_group`, the largest: there may be as many as scenes


@dataclass(frozen=True)
class Variant:
    """A checkpoint with a prompt; of another revision, or of a results file, where one is named."""

    checkpoint: str
    prompt: str
    revision: str | None = None

    @property
    def name(self) -> str:
        """As in metrics/cer.json."""
        at = f" @ {self.revision}" if self.revision else ""
        return f"{self.checkpoint}-{self.prompt}{at}"


@dataclass(frozen=True)
class Rate:
    """A share, or a difference of two, with the bounds of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """Utterances of one kind."""

    name: str
    utterances: int
    cer: Rate | None


@dataclass(frozen=True)
class Macro:
    """The mean over groups of utterances, each counting the same whatever its size."""

    groups: int
    utterances: int  # in them
    without_group: int
    cer: Rate | None  # None of fewer than two groups


@dataclass(frozen=True)
class Names:
    """The names of `score.names` in one set, and in what was heard of it."""

    said: int
    found: int
    heard: int
    recall: Rate | None
    precision: Rate | None
    false_per_utterance: Rate | None


@dataclass(frozen=True)
class Scored:
    """One variant on one test set."""

    variant: Variant
    utterances: int
    characters: int
    substitutions: int
    deletions: int
    insertions: int
    # None where the set has no characters, kana or words.
    cer: Rate | None
    capped: Rate | None
    dev: float | None  # capped, of the dev sample
    kana: Rate | None
    wer: Rate | None
    sentences: Rate | None  # share of utterances without an error
    classes: Mapping[str, float]  # share of the CER put down to each class
    flags: Mapping[str, int]  # utterances
    groups: Mapping[str, Sequence[Group]]  # titles as in GROUPS
    confusions: Confusions
    macro: Macro | None  # None where no utterance has a group
    names: Names | None  # None where none were counted

    def corpus(self, name: str) -> Group:
        """The utterances of one of the set's corpora."""
        return self._named("by_corpus", name)

    def group(self, name: str) -> Group:
        """The utterances of one group of `score.groups`."""
        return self._named("by_group", name)

    def _named(self, section: str, name: str) -> Group:
        return next(group for group in self.groups[GROUPS[section]] if group.name == name)

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions


@dataclass(frozen=True)
class Comparison:
    """One variant against another on the utterances both transcribed; negative is better."""

    variant: Variant
    against: Variant
    utterances: int
    # Of the capped CER; None where there are no characters.
    change: Rate | None
    p: float | None  # MAPSSWE on capped errors
    decision: Decision
    # The smallest true difference that the set would show.
    detectable: float | None


@dataclass(frozen=True)
class Results:
    """All variants on one test set."""

    name: str
    utterances: int
    characters: int
    scored: Sequence[Scored]
    # Each against what it came from, by variant.
    previous: Mapping[Variant, Comparison]
    # The end of each phase against its start.
    phases: Sequence[tuple[str, Comparison]]
    # Prompts of one checkpoint against the first prompt.
    prompts: Sequence[Comparison]
    # Each variant against the same one of the other revision or results file.
    revision: Sequence[Comparison]
    # As `previous`, of each corpus alone where the set has several.
    corpora: Mapping[str, Mapping[Variant, Comparison]]

    @property
    def title(self) -> str:
        """Heading of the set."""
        return TITLES[self.name]

    @property
    def macro(self) -> Macro | None:
        """What the means over groups are of, the same of each present variant."""
        return next((s.macro for s in self.scored if s.variant.revision is None), None)

    @property
    def named(self) -> list[Scored]:
        """The variants whose names were counted."""
        return [scored for scored in self.scored if scored.names]

    @property
    def groups(self) -> list[str]:
        """Names of the largest groups of `score.groups`, the largest first."""
        return [
            group.name
            for scored in self.scored[:1]
            for group in scored.groups.get(GROUPS["by_group"], ())
        ]

    @property
    def chosen(self) -> Scored | None:
        """The present variant that is best on the dev sample; None without one."""
        present = [s for s in self.scored if s.dev is not None and s.variant.revision is None]
        return min(present, key=lambda s: s.dev or 0.0, default=None)

    @property
    def best(self) -> Scored | None:
        """The one chosen on the dev sample; without a sample, the lowest."""
        return self.chosen or self.lowest

    @property
    def lowest(self) -> Scored | None:
        """The present variant with the fewest capped errors; None if nothing could be scored."""
        present = [s for s in self.scored if s.capped and s.variant.revision is None]
        return min(present, key=lambda s: s.capped.value if s.capped else 0.0, default=None)

    @property
    def gains(self) -> int:
        """Phases that improved for sure."""
        return sum(comparison.decision == "better" for _, comparison in self.phases)

    @property
    def losses(self) -> int:
        """Phases that got worse for sure."""
        return sum(comparison.decision == "worse" for _, comparison in self.phases)

    def find(self, variant: Variant) -> Scored | None:
        """The scores of a variant; None if it has none in this set."""
        return next((scored for scored in self.scored if scored.variant == variant), None)
