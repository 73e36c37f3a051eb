"""Score utterances: one row each, from which every rate is computed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from rapidfuzz.distance import Levenshtein

from galgame_asr.decoding.transcripts import keys
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import DataError
from galgame_asr.scoring import scored
from galgame_asr.scoring.breakdown import break_down, count
from galgame_asr.scoring.hallucination import flags
from galgame_asr.scoring.words import Words
from galgame_asr.text.alignment import utterance_counts
from galgame_asr.text.normalise import normalise
from galgame_asr.text.params import NormaliseParams

SHOWN = 5  # ids named in a message


def score(
    set_name: str,
    references: pd.DataFrame,
    hypotheses: Mapping[str, Transcript],
    rules: NormaliseParams,
    words: Words,
) -> pd.DataFrame:
    """Compare the transcripts of one test set with their references.

    Args:
        set_name: test or ood.
        references: a manifest; of its columns id, corpus, duration_s and text are read.
        hypotheses: transcripts by CORPUS/ID.
        rules: how both sides are normalised.
        words: the analyser of words and readings.

    Returns:
        The columns of scored.SCHEMA, sorted by id.

    Raises:
        DataError: an utterance is on one side only, or stands twice in the references.
    """
    ids = keys(references)
    check_ids(ids, hypotheses.keys())
    rows = [
        {
            "set": set_name,
            "id": id_,
            "corpus": corpus,
            "duration_s": duration_s,
            **_compare(text, hypotheses[id_], rules, words),
        }
        for id_, corpus, duration_s, text in sorted(
            zip(
                ids,
                references["corpus"],
                references["duration_s"],
                references["text"],
                strict=True,
            )
        )
    ]
    return scored.frame(rows)


def check_ids(references: Iterable[str], hypotheses: Iterable[str]) -> None:
    """Check that each reference has one hypothesis and the other way round.

    Raises:
        DataError: an id is on one side only, or stands twice among the references.
    """
    times = Counter(iter(references))  # of a mapping it would take the values
    expected, found = set(times), set(hypotheses)
    twice = {id_ for id_, number in times.items() if number > 1}
    for what, ids, remedy in (
        ("references stand twice", twice, "split again"),
        ("transcripts are missing", expected - found, "decode again"),
        ("transcripts are unexpected", found - expected, "decode again"),
    ):
        if ids:
            shown = ", ".join(sorted(ids)[:SHOWN])
            raise DataError(f"{len(ids)} {what}: {shown}; {remedy}")


def _compare(
    reference: str, transcript: Transcript, rules: NormaliseParams, words: Words
) -> dict[str, Any]:
    truth, heard = normalise(reference, rules), normalise(transcript.text, rules)
    substitutions, deletions, insertions = utterance_counts([truth], [heard])[0].tolist()
    kana = words.kana(truth)
    heard_kana = kana if heard == truth else words.kana(heard)
    lemmas, heard_lemmas = ([word.lemma for word in words.words(text)] for text in (truth, heard))
    edits = count(break_down(truth, heard, words))
    found = flags(reference, transcript.text, truth, heard)
    return {
        "reference": reference,
        "hypothesis": transcript.text,
        "truth": truth,
        "heard": heard,
        "tokens": transcript.num_tokens,
        "log_prob": transcript.log_prob,
        "characters": len(truth),
        "substitutions": substitutions,
        "deletions": deletions,
        "insertions": insertions,
        "kana": len(kana),
        "kana_errors": Levenshtein.distance(kana, heard_kana),
        "words": len(lemmas),
        "word_errors": Levenshtein.distance(lemmas, heard_lemmas),
        **{f"edits_{kind}": number for kind, number in edits.items()},
        **{f"is_{flag}": value for flag, value in found.items()},
    }
