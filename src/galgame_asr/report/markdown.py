"""The report as markdown: readable in a terminal and in a pull request."""

from collections.abc import Iterable, Sequence

from galgame_asr.formats.common.verified import Verified
from galgame_asr.report import exports, formats
from galgame_asr.report.exports import Exports
from galgame_asr.report.results import Comparison, Results, Scored, Variant
from galgame_asr.report.sentences import CLASS_NAMES, headline

EXPORTS = "## Exports"
CHANGE = "change in points, against"


def text(everything: Sequence[Results], checked: Exports) -> str:
    """The figures of the report page: per set the variants, then decisions and error classes."""
    lines = ["# Character error rates", ""]
    lines += [f"- **{sentence}**" for sentence in exports.failures(checked)]
    lines += [f"- {sentence}" for sentence in headline(everything)]
    for results in everything:
        lines += [
            "",
            f"## {results.title}: {results.utterances:,} utterances, "
            f"{results.characters:,} characters",
            "",
            *table(
                ["checkpoint", "prompt", "dev", "CER", "95% interval", "capped", "kana", "WER",
                 "right", "S, D, I", CHANGE],
                [_row(scored, results.previous.get(scored.variant)) for scored in results.scored],
            ),
            *_corpora(results),
            *_groups(results),
            *_names(results),
        ]  # fmt: skip
    if everything:
        lines += ["", LEGEND]
    if checked:
        rows = [_export(name, verified) for name, verified in checked.items()]
        lines += ["", EXPORTS, "", *table(exports.HEAD, rows), "", exports.LEGEND]
    for results in everything:
        lines += ["", *_details(results)]
    return "\n".join(lines) + "\n"


LEGEND = (
    "Dev: capped CER of a sample of the dev set, by which the best is chosen. "
    "Capped: at most as many errors per utterance as its reference has characters. Kana: of the "
    "reading. WER: of words in dictionary form. Right: utterances without an error. Change: of the "
    "capped CER on the same utterances; better or worse where its 95% interval excludes 0."
)


def _row(scored: Scored, comparison: Comparison | None) -> list[str]:
    at = f" @ {scored.variant.revision}" if scored.variant.revision else ""
    return [
        scored.variant.checkpoint + at,
        scored.variant.prompt,
        formats.NONE if scored.dev is None else formats.percent(scored.dev),
        formats.rate(scored.cer),
        formats.interval(scored.cer),
        formats.rate(scored.capped),
        formats.rate(scored.kana),
        formats.rate(scored.wer),
        formats.rate(scored.sentences),
        f"{scored.substitutions}, {scored.deletions}, {scored.insertions}",
        _change(comparison),
    ]


def _corpora(results: Results) -> list[str]:
    """Each corpus of a set that has several."""
    if not results.corpora:
        return []
    rows = [
        [
            corpus,
            scored.variant.checkpoint,
            scored.variant.prompt,
            f"{group.utterances:,}",
            formats.rate(group.cer),
            formats.interval(group.cer),
            _change(decisions.get(scored.variant)),
        ]
        for corpus, decisions in results.corpora.items()
        for scored in results.scored
        if scored.variant.revision is None
        for group in [scored.corpus(corpus)]
    ]
    head = ["corpus", "checkpoint", "prompt", "utterances", "CER", "95% interval", CHANGE]
    return ["", *table(head, rows)]


def _groups(results: Results) -> list[str]:
    """The mean over groups, and each group, of a set that has them."""
    macro = results.macro
    if macro is None:
        return []
    present = [s for s in results.scored if s.variant.revision is None]
    rows = [("**macro average**", s, s.macro.utterances, s.macro.cer) for s in present if s.macro]
    for name in results.groups:
        found = [(s, s.group(name)) for s in present]
        rows += [(name.replace("|", r"\|"), s, g.utterances, g.cer) for s, g in found]
    lines = table(
        ["group", "checkpoint", "prompt", "utterances", "CER", "95% interval"],
        [
            [
                name,
                scored.variant.checkpoint,
                scored.variant.prompt,
                f"{utterances:,}",
                formats.rate(cer),
                formats.interval(cer),
            ]
            for name, scored, utterances, cer in rows
        ],
    )
    return ["", *lines, "", formats.grouped(macro, len(results.groups))]


def _names(results: Results) -> list[str]:
    """What became of the names of a set, if they were counted."""
    rows = [
        [
            scored.variant.checkpoint,
            scored.variant.prompt,
            *(f"{value} ({between})" for value, between in formats.names(scored.names)),
            f"{scored.names.said}, {scored.names.found}, {scored.names.heard}",
        ]
        for scored in results.named
        if scored.names
    ]
    if not rows:
        return []
    return ["", *table(["checkpoint", "prompt", *formats.NAMES, "counts"], rows), "", formats.NAMED]


def _change(comparison: Comparison | None) -> str:
    if comparison is None:
        return formats.NONE
    return (
        f"**{comparison.decision}** {formats.change(comparison)}, {comparison.against.checkpoint}"
    )


def _export(name: str, verified: Verified) -> list[str]:
    first, *others = exports.cells(name, verified)
    return [f"{first} **failed**" if verified.problems else first, *others]


def _details(results: Results) -> list[str]:
    """Paired decisions, and what the errors are."""
    where = results.title
    lines: list[str] = []
    groups = {
        "Phases": [(f"{phase}: ", comparison) for phase, comparison in results.phases],
        "Prompts": [("", comparison) for comparison in results.prompts],
        "Revisions": [("", comparison) for comparison in results.revision],
    }
    for title, rows in groups.items():
        if rows:
            lines += [f"### {title}, {where}", "", *_decisions(rows), ""]
    return [
        *lines,
        f"### Points of CER by class of error, {where}",
        "",
        _classes(results.scored),
    ]


def _classes(scored: Sequence[Scored]) -> str:
    """A column for each class that has an error, and a line for the others."""
    shown, zeros = formats.without_zeros(CLASS_NAMES, [s.classes for s in scored])
    lines = table(
        ["variant", *shown.values()],
        [[_name(s.variant), *(formats.percent(s.classes[name]) for name in shown)] for s in scored],
    )
    return "\n\n".join([*(["\n".join(lines)] if shown else []), *([zeros] if zeros else [])])


def _decisions(rows: Iterable[tuple[str, Comparison]]) -> list[str]:
    return table(
        ["variant", "against", "decision", "change", "95% interval", "MAPSSWE", "detectable"],
        [
            [
                lead + _name(comparison.variant),
                _name(comparison.against),
                f"**{comparison.decision}**",
                formats.change(comparison),
                formats.change_interval(comparison),
                formats.p_value(comparison.p),
                formats.detectable(comparison),
            ]
            for lead, comparison in rows
        ],
    )


def _name(variant: Variant) -> str:
    return f"{variant.checkpoint} · {variant.prompt}" + (
        f" @ {variant.revision}" if variant.revision else ""
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
