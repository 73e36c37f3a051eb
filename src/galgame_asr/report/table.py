"""The table of variants: checkpoint by prompt, in domain and out of domain."""

from collections.abc import Mapping, Sequence

from galgame_asr.scoring.counts import ErrorCounts

# (checkpoint, prompt) -> set -> counts
Scores = Mapping[tuple[str, str], Mapping[str, ErrorCounts]]
TITLES = {"test": "In domain (test)", "ood": "Out of domain (ood)"}


def markdown(scores: Scores, checkpoints: Sequence[str], prompts: Sequence[str]) -> str:
    """One table per set; each cell is the CER, its change against the first row, and the counts."""
    parts = ["# Character error rates\n"]
    for name, title in TITLES.items():
        sets = [scored[name] for scored in scores.values() if name in scored]
        if not sets:
            continue
        parts.append(
            f"## {title}: {sets[0].utterances} utterances, {sets[0].characters} characters\n"
        )
        parts.append(f"| checkpoint | {' | '.join(f'prompt {p}' for p in prompts)} |")
        parts.append("|---" * (len(prompts) + 1) + "|")
        for checkpoint in checkpoints:
            cells = [
                _cell(scores[checkpoint, prompt][name], scores[checkpoints[0], prompt][name])
                for prompt in prompts
            ]
            parts.append(f"| {checkpoint} | {' | '.join(cells)} |")
        parts.append("")
    parts.append("Each cell: CER, change against the first row, [errors: sub, del, ins].\n")
    return "\n".join(parts)


def _cell(counts: ErrorCounts, first: ErrorCounts) -> str:
    change = f" ({counts.cer / first.cer - 1:+.0%})" if counts is not first and first.errors else ""
    return (
        f"{counts.cer:.2%}{change} [{counts.errors}: "
        f"{counts.substitutions}, {counts.deletions}, {counts.insertions}]"
    )
