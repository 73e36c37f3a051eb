"""What the report says in words; report.md and the page say the same."""

from collections.abc import Mapping, Sequence

from galgame_asr.decoding.speed import SCOPE, Speed
from galgame_asr.report import formats
from galgame_asr.report.results import Comparison, Results, Scored, Variant

Speeds = Mapping[Variant, Speed]

CLASS_NAMES = {
    "misheard": "misheard",
    "loop": "loop",
    "deletion": "missing",
    "insertion": "added",
    "spelling": "spelling",
    "homophone": "homophone",
}
CLASS_TEXTS = {
    "misheard": "other sounds than were said",
    "loop": "the decoder repeats itself",
    "deletion": "words left out",
    "insertion": "words that nobody said",
    "spelling": "the same word in another spelling: わたし for 私",
    "homophone": "another word that sounds the same: 校則 for 拘束",
}
FLAG_NAMES = {
    "wrong_language": "other language",
    "empty": "empty",
    "loop": "loop",
    "truncated": "cut short",
    "invented": "invented",
    "non_verbal": "non-verbal",
    "suspect_label": "suspect label",
}
FLAG_TEXTS = {
    "wrong_language": "Chinese characters or Latin words that the reference does not have",
    "empty": "no text for speech",
    "loop": "a unit repeated four times or more, longer than in the reference",
    "truncated": "less than 40% of a reference of 10 characters or more",
    "invented": "text where the reference is empty",
    "non_verbal": "a reference of breath, laughter or cries, with hardly any words",
    "suspect_label": "a reference that stops while the transcript goes on sensibly",
}


def speed_legend(speeds: Speeds) -> list[str]:
    """The scope, and the conditions of each group of variants."""
    groups: dict[str, list[str]] = {}
    for variant, one in speeds.items():
        under = one.conditions
        said = (
            f"{under.device}, {under.cpu_threads} CPU threads, {under.precision}, batches of "
            f"{under.batch_frames} frames, torch {under.torch}; {under.utterances:,} utterances, "
            f"{under.audio_s:,.0f} s of audio"
        )
        groups.setdefault(said, []).append(variant.name)
    everywhere = len(groups) == 1
    return [
        f"RTFx: seconds of audio per second. {SCOPE}. The median of the runs, with the "
        "slowest and the fastest.",
        *(said if everywhere else f"{', '.join(names)}: {said}" for said, names in groups.items()),
    ]


def headline(results: Sequence[Results]) -> list[str]:
    """One sentence per finding: best variant, phase gains, out of domain, what is too small."""
    if not results:
        return [
            "No utterance was scored: both test sets are empty. Raise split.test, or add corpora."
        ]
    return [sentence for found in results for sentence in _of_set(found)]


def _of_set(results: Results) -> list[str]:
    where = "in domain" if results.name == "test" else "out of domain"
    sentences = []
    if results.chosen:
        sentences.append(f"Best on dev, {where}: {_with_cer(results.chosen)}.")
    if results.lowest and results.lowest != results.chosen:
        sentences.append(
            f"Lowest {where}: {_with_cer(results.lowest)}, which this set itself chose and so "
            "flatters."
        )
    sentences += [corpus(results, name) for name in results.corpora if results.best]
    if results.phases:
        sentences.append(gains(results))
    if least := detectable(results):
        sentences.append(
            f"With {results.utterances:,} utterances {where}, two variants must differ by about "
            f"{least} points before the difference shows in four of five test sets like this."
        )
    return sentences


def _with_cer(scored: Scored) -> str:
    return (
        f"{scored.variant.name} with a CER of {formats.rate(scored.cer)} "
        f"({formats.interval(scored.cer)})"
    )


def corpus(results: Results, name: str) -> str:
    """What the best variant is on one corpus of a set that has several."""
    best = results.best
    assert best is not None
    group = best.corpus(name)
    said = (
        f"Of {name} ({group.utterances:,} utterances): {best.variant.name} with a CER of "
        f"{formats.rate(group.cer)} ({formats.interval(group.cer)})"
    )
    if comparison := results.corpora[name].get(best.variant):
        against = comparison.against.checkpoint
        said += f"; {comparison.decision} against {against}: {formats.change(comparison)} points"
    return f"{said}."


def gains(results: Results) -> str:
    """How many phases improved: the interval of the paired difference excludes 0."""
    where = "in domain" if results.name == "test" else "out of domain"
    undecided = len(results.phases) - results.gains - results.losses
    return (
        f"Phases {where}, with each prompt: {results.gains} of {len(results.phases)} gains are "
        f"real, {results.losses} got worse, {undecided} undecided."
    )


def detectable(results: Results) -> str:
    """The median smallest difference of two variants that this set would show, in points."""
    found = sorted(c.detectable for c in _comparisons(results) if c.detectable is not None)
    return f"{100 * found[len(found) // 2]:.1f}" if found else ""


def _comparisons(results: Results) -> list[Comparison]:
    return [*(comparison for _, comparison in results.phases), *results.prompts]
