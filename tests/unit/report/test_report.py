"""The report says what the tables hold, on any number of rows, and the same every time."""

import html
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rapidfuzz.distance import Levenshtein

from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.formats.common import verified
from galgame_asr.messages.errors import DataError
from galgame_asr.report import browser, clips, markdown, page
from galgame_asr.report.collect import Tables, collect, common
from galgame_asr.report.confusions import confusions
from galgame_asr.report.diff import diff
from galgame_asr.report.results import Variant
from galgame_asr.scoring import scored
from tests import tables

CHECKED = {"small": tables.PLAIN}
ALONE = Curriculum(("base",), ("none",), {}, {})


def build(found: Tables, curriculum: Curriculum = tables.CURRICULUM) -> str:
    return page.build(
        found, collect(found, curriculum), curriculum, lambda _set, _id: "data:,", CHECKED
    )


def data(built: str) -> dict[str, object]:
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', built)
    assert inside
    found: dict[str, object] = json.loads(inside[1])
    return found


@pytest.mark.parametrize(
    ("truth", "heard"),
    [
        ("わたしは葵", "私は青い"),
        ("", "えへへ"),
        ("えへへ", ""),
        ("", ""),
        ("おはよう", "おはよう"),
        ("ああああ", "あああああああああ"),
    ],
)
def test_spans_join_up_and_add_up(truth: str, heard: str) -> None:
    """To both texts and to their distance."""
    spans = diff(truth, heard)
    assert "".join(span.truth for span in spans) == truth
    assert "".join(span.heard for span in spans) == heard
    assert sum(span.edits for span in spans) == Levenshtein.distance(truth, heard)


def test_spans_have_the_counts_of_the_tables() -> None:
    """What the diff shows as replaced, missing and added is what was counted."""
    for row in tables.tables()[Variant("base", "none")].to_dict("records"):
        spans = [span for span in diff(row["truth"], row["heard"]) if span.edits]
        assert [
            sum(span.edits for span in spans if span.truth and span.heard),
            sum(span.edits for span in spans if not span.heard),
            sum(span.edits for span in spans if not span.truth),
        ] == [row["substitutions"], row["deletions"], row["insertions"]]


def test_confusions_are_counted() -> None:
    """Replaced characters one by one, runs of missing and added ones as one."""
    part = tables.table(
        {"test": {"a": ("わたしだ", "しだ"), "b": ("葵だ", "凛だね"), "c": ("葵", "凛")}}
    )
    found = confusions(part)
    assert found.substitutions == [("葵", "凛", 2)]
    assert found.deletions == [("わた", 1)]
    assert found.insertions == [("ね", 1)]


def test_the_curriculum_knows_what_came_before() -> None:
    """A checkpoint came from its phase's start, a mean from its phase, the first from nothing."""
    curriculum = tables.CURRICULUM
    before = {name: curriculum.previous(name) for name in curriculum.checkpoints}
    assert before == {
        "base": None, "full/p50": "base", "full/p100": "base", "averaged": "full/p100"
    }  # fmt: skip
    assert curriculum.position("full/p50") == 0.5
    assert curriculum.phases() == [("full", "base", "full/p100")]
    # Where it was not decoded, the first row stands in.
    without = replace(curriculum, checkpoints=("full/p50", "averaged"))
    assert without.previous("averaged") == "full/p50"
    assert without.phases() == []


def test_the_page_has_the_figures_of_the_markdown() -> None:
    """Every row of a table in report.md is a row on the page, with the same figures."""
    found = tables.tables()
    text = markdown.text(collect(found, tables.CURRICULUM), CHECKED)
    visible = re.sub(r"<(script|svg).*?</\1>", "", build(found), flags=re.DOTALL)
    rows = [
        html.unescape(re.sub(r"<[^>]*>", " ", row))
        for row in re.findall(r"<tr.*?</tr>", visible, re.DOTALL)
    ]
    figures = [
        re.findall(r"[−+]?\d+\.\d+%?", line) for line in text.splitlines() if line[0:1] == "|"
    ]
    figures = [line for line in figures if line]
    assert len(figures) == 2 * (8 + 2 + 4 + 8) + len(CHECKED)
    for line in figures:
        assert any(all(figure in row for figure in line) for row in rows), line
    for sentence in re.findall(r"^- (.*)$", text, re.MULTILINE):
        assert sentence in html.unescape(visible)
    assert "**better**" in text


def test_a_gain_and_its_absence_are_told_apart() -> None:
    """From half of the characters wrong to a tenth is real; a mean of the same is not."""
    (results, _) = collect(tables.tables(), tables.CURRICULUM)
    assert results.gains == len(results.phases) == 2
    averaged = results.previous[Variant("averaged", "none")]
    assert averaged.decision == "undecided"
    assert averaged.against == Variant("full/p100", "none")


def test_the_same_tables_give_the_same_bytes() -> None:
    """The page is an output that DVC hashes."""
    found = tables.tables(utterances=8)
    assert build(found) == build(found)


def test_a_page_without_rows() -> None:
    """It says so."""
    empty = {Variant("base", "none"): scored.frame([])}
    built = build(empty, ALONE)
    assert "No utterance was scored" in built
    assert data(built)["sets"] == []
    assert "No utterance was scored" in markdown.text([], {})


def test_one_variant_and_nothing_out_of_domain() -> None:
    """No comparisons, no empty tables."""
    found = tables.tables(ALONE, sets=("test",))
    built = build(found, ALONE)
    assert "Out of domain (ood)" not in built
    assert "full" not in str(data(built)["variants"])
    assert "### Phases" not in markdown.text(collect(found, ALONE), {})


def test_references_without_a_letter() -> None:
    """A set without characters has no rate, and a page all the same."""
    found = {Variant("base", "none"): tables.table({"test": {"a": ("…", "はい"), "b": ("。", "")}})}
    built = build(found, ALONE)
    assert "nan" not in built.lower().replace("nano", "")
    assert "| base | none | – |" in markdown.text(collect(found, ALONE), {})


def test_text_cannot_leave_its_place() -> None:
    """Neither the script with the data nor the lists take markup from a text."""
    evil = "</script><b>葵</b><!--&"
    found = {Variant("base", "none"): tables.table({"test": {evil: (evil, f"{evil}<i>ね")}})}
    built = build(found, ALONE)
    assert "<b>" not in built
    assert "<i>" not in built
    assert evil in str(data(built))


def test_what_was_verified_is_reported(tmp_path: Path) -> None:
    """As it was written, and only what params name; other files are errors that say so."""
    path = tmp_path / "small.json"
    verified.write(path, CHECKED["small"])
    assert verified.read(path) == CHECKED["small"]
    cells = "| small | full/p100 | int8 | sherpa-onnx 2.0.1 | 2.3 | 39 of 40 | 11.00% | 12.00% |"
    text = markdown.text([], {"small": verified.read(path)})
    assert f"{cells} 12.13% | 3e-02 |" in text
    assert markdown.EXPORTS not in markdown.text([], {})
    path.write_text(path.read_text().replace("distinct", "distinkt"))
    with pytest.raises(DataError, match=r"small\.json cannot be read .*single-item verify@small`"):
        verified.read(path)


def test_an_export_that_failed_is_told_in_words(tmp_path: Path) -> None:
    """First of all and in its row, on the page and in report.md, with reasons and what to do."""
    reason = "b has values that are no numbers (export.bad.verify.max_difference is 0.01)"
    bad = replace(CHECKED["small"], problems=[reason], differences={"a": 1e-4, "b": math.nan})
    verified.write(tmp_path / "bad.json", bad)
    assert "NaN" not in (tmp_path / "bad.json").read_text()
    checked = {"bad": verified.read(tmp_path / "bad.json"), **CHECKED}
    sentence = (
        f"Export bad failed its gate: {reason}. Choose a higher precision, or lower the gate if "
        "this will do. It cannot be published."
    )
    found = tables.tables()
    results = collect(found, tables.CURRICULUM)
    text = markdown.text(results, checked)
    assert text.splitlines()[2] == f"- **{sentence}**"
    assert "| bad **failed** |" in text
    assert "| no number |" in text
    assert "| small |" in text
    built = page.build(found, results, tables.CURRICULUM, lambda _set, _id: "data:,", checked)
    assert f'<li class="failed">{sentence}</li>' in built
    pill = r">(\w+) <span class=\"decision failed\">failed</span></th>"
    assert re.findall(pill, built) == ["bad"]
    for passed in (build(found), markdown.text(results, CHECKED)):
        assert "failed its gate" not in passed
        assert "failed</span>" not in passed
        assert "**failed**" not in passed


def test_roundings_that_differ_between_cpus_are_not_written(tmp_path: Path) -> None:
    """Of differences that float32 and the CPU's instructions make, and not the export; 0 is 0."""
    differences = {"a": 3.6e-7, "b": 5.9e-7, "c": 0.0, "d": 1.234e-5}
    verified.write(tmp_path / "a.json", replace(CHECKED["small"], differences=differences))
    found = verified.read(tmp_path / "a.json").differences
    assert found == {"a": 1e-5, "b": 1e-5, "c": 0.0, "d": 1.2e-5}


def test_large_sets_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst and a random sample, the same one for every variant."""
    monkeypatch.setattr(browser, "WORST", 10)
    monkeypatch.setattr(browser, "RANDOM", 5)
    monkeypatch.setattr(browser, "WORST_CLIPS", 6)
    monkeypatch.setattr(browser, "RANDOM_CLIPS", 3)
    found = tables.tables(sets=("test",))
    (held,) = browser.data(found, lambda _set, _id: "data:,")["sets"]
    assert len(held["clips"]) == 9
    for variant, part in zip(held["variants"], found.values(), strict=True):
        errors = browser.worst_first(part)["substitutions"] + browser.worst_first(part)["deletions"]
        assert variant["total"] == len(part) == len(errors) == 40
        assert len(variant["rows"]) == 15
        shown = [row[3] for row in variant["rows"]]
        assert shown[:10] == sorted(shown, reverse=True)[:10]


def test_variants_must_have_the_same_utterances() -> None:
    """A table of another run is an error."""
    found = tables.tables()
    last = list(found)[-1]
    with pytest.raises(DataError, match="averaged-japanese has other utterances"):
        collect(found | {last: found[last].iloc[1:]}, tables.CURRICULUM)


def test_another_revision_is_paired_by_id_and_reference() -> None:
    """Utterances that are new, gone or have another reference are left out of the pairs."""
    found = tables.tables()
    variant = Variant("base", "none")
    old = found[variant].iloc[2:].copy()
    changed = old.index[0]
    old.loc[changed, "truth"] += "ね"
    new, same = common(found[variant].query("set == 'test'"), old.query("set == 'test'"))
    assert list(new["id"]) == list(same["id"])
    results = collect(found | {replace(variant, revision="v1"): old}, tables.CURRICULUM)
    (comparison,) = next(r for r in results if r.name == old.loc[changed, "set"]).revision
    assert comparison.utterances == 37
    assert comparison.decision == "undecided"
    assert comparison.change
    assert comparison.change.value == 0
    assert "base @ v1" in markdown.text(results, {})


def test_clips_are_mp3_with_the_same_bytes() -> None:
    """The same samples give the same address."""
    samples = (np.sin(np.arange(16_000) / 10) / 4).astype(np.float32)
    first = clips.data_uri(samples)
    assert first == clips.data_uri(samples)
    assert first.startswith("data:audio/mpeg;base64,")
    assert len(first) < 8_000


def test_plots_leave_colours_to_the_page() -> None:
    """No colour of their own, so that both themes work; each has a title for screen readers."""
    plots = re.findall(r"<svg.*?</svg>", build(tables.tables(utterances=8)), re.DOTALL)
    assert len(plots) == 5
    for plot in plots:
        assert not re.search(r"(fill|stroke): #", plot)
        assert "<title>" in plot
        assert 'role="img"' in plot


def test_columns_are_those_of_the_tables() -> None:
    """The helper makes what the score stage writes."""
    assert list(tables.tables()[Variant("base", "none")]) == scored.SCHEMA.names
    assert isinstance(scored.frame([]), pd.DataFrame)
