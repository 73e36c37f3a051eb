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

from galgame_asr.core.paths import DEV_SAMPLE
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.formats.common import verified
from galgame_asr.messages.errors import DataError
from galgame_asr.report import browser, clips, markdown, page, plots
from galgame_asr.report.collect import Tables, collect, common
from galgame_asr.report.confusions import confusions
from galgame_asr.report.diff import diff
from galgame_asr.report.readme import summary
from galgame_asr.report.results import Variant
from galgame_asr.report.sentences import headline
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


def test_baselines_stand_beside_the_curriculum() -> None:
    """Against the newest checkpoint, by the prompt of that name or the first; on no curve."""
    others = {"theirs": ("japanese", "names"), "cloud": ("none",)}
    curriculum = replace(tables.CURRICULUM, baselines=others)
    results, _ = collect(tables.tables(curriculum), curriculum)
    names = [scored.variant.name for scored in results.scored]
    assert names[-3:] == ["theirs-japanese", "theirs-names", "cloud-none"]
    against = {v.name: results.previous[v].against.name for v in results.previous}
    assert against["theirs-japanese"] == "full/p100-japanese"
    assert against["theirs-names"] == against["cloud-none"] == "full/p100-none"
    pairs = [(one.variant.name, one.against.name) for one in results.prompts]
    assert ("theirs-names", "theirs-japanese") in pairs
    assert all(variant != "cloud-none" for variant, _ in pairs)
    assert "theirs" in plots.domains([results])
    assert "theirs" not in plots.curve(results, curriculum)
    assert "averaged" in plots.curve(results, curriculum)


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


def test_columns_of_zeros_are_one_line() -> None:
    """A class that no variant has is named once, on the page and in report.md."""
    found = {
        Variant("base", "none"): tables.table(
            {"test": {"a": ("葵だ", "凛だ"), "b": ("はい", "はい")}}
        ),
        Variant("full/p100", "none"): tables.table(
            {"test": {"a": ("葵だ", "葵だ"), "b": ("はい", "はい")}}
        ),
    }
    curriculum = Curriculum(("base", "full/p100"), ("none",), {"full": "base"}, {})
    zeros = "0 everywhere: loop, missing, added, spelling, homophone."
    expected = (
        "| variant | misheard |\n|---|---|\n"
        "| base · none | 25.00% |\n| full/p100 · none | 0.00% |\n"
        f"\n{zeros}\n"
    )
    assert markdown.text(collect(found, curriculum), {}).endswith(expected)
    built = build(found, curriculum)
    headings = re.findall(r"<abbr [^>]*>(.*?)</abbr>", built)
    assert headings == ["Dev", "S, D, I", "misheard"]
    assert f'<p class="quiet">{zeros}</p>' in built
    flags = "other language, empty, loop, cut short, invented, non-verbal, suspect label"
    assert f'<p class="quiet">0 everywhere: {flags}.</p>' in built
    legend = re.findall(r"<svg.*?</svg>", built, re.DOTALL)[-1]
    assert ">misheard</text>" in legend
    assert ">homophone</text>" not in legend


def test_transcripts_without_an_error() -> None:
    """Leave no empty table: the line alone."""
    found = {Variant("base", "none"): tables.table({"test": {"a": ("葵だ", "葵だ")}})}
    text = markdown.text(collect(found, ALONE), {})
    zeros = "0 everywhere: misheard, loop, missing, added, spelling, homophone."
    assert text.endswith(f"### Points of CER by class of error, In domain (test)\n\n{zeros}\n")
    assert zeros in build(found, ALONE)


def test_the_page_opens_on_the_newest_phase() -> None:
    """With its last checkpoint and the first prompt, whatever is best, averaged or exported."""
    whole = Curriculum(
        ("base", "first/p100", "second/p50", "averaged", "export/small"),
        ("none", "japanese"),
        {"first": "base", "second": "first/p100", "third": "second/p100"},
        {"averaged": "second"},
        {"export/small": "second/p50"},
    )
    assert whole.newest() == "second/p50"
    assert replace(whole, checkpoints=("base", "averaged")).newest() == "base"
    assert tables.CURRICULUM.newest() == "full/p100"
    built = build(tables.tables(utterances=4))
    opened = re.findall(r'<div class="panel" data-set="(.*?)" data-variant="(.*?)">', built)
    assert opened == [("test", "full/p100-none")]


def test_the_list_of_utterances_comes_before_the_small_tables() -> None:
    """After what the run amounts to; the links at the top are in the order of the page."""
    built = build(tables.tables(utterances=4))
    sections = re.findall(r'<section id="(.*?)"', built)
    assert sections[:4] == ["variants", "utterances", "detail", "decisions"]
    assert re.findall(r'<a href="#(.*?)">', built) == sections


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


def test_the_dev_sample_chooses_and_the_test_set_reports() -> None:
    """The best is that of dev; what is lower on the test set is named as what it is."""
    found = tables.tables(sets=("test",))
    chosen, lowest = Variant("full/p50", "none"), Variant("averaged", "japanese")
    for variant in found:
        text = "葵、おはよう。"
        dev = tables.table({DEV_SAMPLE: {"a": (text, text if variant == chosen else "凛")}})
        found[variant] = pd.concat([found[variant], dev], ignore_index=True)
        if variant == lowest:
            perfect = {id_: (said, said) for id_, said in tables.texts(40).items()}
            found[variant] = pd.concat([tables.table({"test": perfect}), dev], ignore_index=True)
    (results,) = collect(found, tables.CURRICULUM)
    assert results.best == results.chosen == results.find(chosen)
    assert results.best
    assert results.best.dev == 0
    assert results.lowest == results.find(lowest)
    first, second, *_ = headline([results])
    assert first.startswith("Best on dev, in domain: full/p50-none with a CER of ")
    assert second == (
        "Lowest in domain: averaged-japanese with a CER of 0.00% (0.00–0.00), which this set "
        "itself chose and so flatters."
    )
    assert "| full/p50 | none | 0.00% |" in markdown.text([results], {})
    # A revision from before there was a sample.
    (old,) = collect(tables.tables(sets=("test",)), tables.CURRICULUM)
    assert old.chosen is None
    assert old.best == old.lowest
    assert headline([old])[0].startswith("Lowest in domain: ")
    assert "| full/p50 | none | – |" in markdown.text([old], {})


def test_each_corpus_of_a_test_set_has_a_decision_of_its_own() -> None:
    """Fifteen recordings of one's own do not vanish among others, whatever the corpus is called."""
    found = tables.tables()
    for variant, table in found.items():
        own = tables.tables(sets=("test",), utterances=15)[Variant("full/p100", variant.prompt)]
        own = own.assign(corpus="own_voice", id=own["id"].str.replace("vn/", "own_voice/"))
        found[variant] = pd.concat([table, own], ignore_index=True)
    test, ood = collect(found, tables.CURRICULUM)
    assert list(test.corpora) == ["own_voice", "vn"]
    assert ood.corpora == {}
    last = Variant("full/p100", "none")
    assert test.previous[last].decision == test.corpora["vn"][last].decision == "better"
    # All variants say the same of it.
    assert test.corpora["own_voice"][last].decision == "undecided"
    assert test.corpora["own_voice"][last].utterances == 15
    text = markdown.text([test, ood], {})
    assert "| own_voice | full/p100 | none | 15 | " in text
    assert "**undecided** 0.00, base |" in text
    (sentence,) = (line for line in headline([test, ood]) if line.startswith("Of own_voice"))
    assert "(15 utterances)" in sentence
    assert "CER of" in sentence
    built = page.build(found, [test, ood], tables.CURRICULUM, lambda _set, _id: None, {})
    assert "Each corpus of the set" in built
    # README's table is of the whole set.
    assert "own_voice" not in summary(text.partition("\n")[2].partition("\n### ")[0])


def test_a_small_corpus_does_not_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a set is cut, each corpus gives rows and clips in turn, as long as it has any."""
    for limit, most in {"WORST": 10, "RANDOM": 5, "WORST_CLIPS": 6, "RANDOM_CLIPS": 0}.items():
        monkeypatch.setattr(browser, limit, most)
    found = tables.tables(ALONE, sets=("test",))
    part = found[Variant("base", "none")]
    part.loc[part["id"].isin(["vn/0000", "vn/0001", "vn/0002"]), "corpus"] = "own"
    (held,) = browser.data(found, lambda _set, _id: "data:,")["sets"]
    corpora = [corpus for _, corpus, _, _ in held["utterances"]]
    rows = [corpora[row[0]] for row in held["variants"][0]["rows"]]
    assert (len(rows), rows.count("own")) == (15, 3)
    assert [corpora[place] for place in held["clips"]].count("own") == 3


def test_variants_must_have_the_same_utterances() -> None:
    """A table of another run is an error, also where only its dev sample is."""
    found = tables.tables()
    last = list(found)[-1]
    with pytest.raises(DataError, match="dev_sample: averaged-japanese has other utterances"):
        collect(found | {last: found[last].iloc[:-1]}, tables.CURRICULUM)
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


def test_another_revision_had_another_corpus() -> None:
    """Rows per corpus are of the corpora that are here: of others there is nothing to show."""
    found = tables.tables()
    variant = Variant("base", "none")
    old = found[variant].copy()
    old.loc[old["id"] >= "vn/0020", "corpus"] = "gone"
    results = collect(found | {replace(variant, revision="v1"): old}, tables.CURRICULUM)
    assert [found.corpora for found in results] == [{}, {}]
    assert "gone" not in markdown.text(results, {})


def in_groups(groups: int, without: int = 0) -> Tables:
    """Utterances in turn of `game|0` and so on; the first of each set have no group."""
    found = {}
    for variant, table in tables.tables().items():
        numbers = table["id"].str[-2:].astype(int)
        names = "game|" + (numbers % groups).astype(str)
        in_test = table["set"] == "test"
        found[variant] = table.assign(group=names.where(in_test & (numbers >= without), None))
    return found


def test_groups_have_rows_and_a_mean() -> None:
    """On the page as in report.md, in the set that has groups alone, for each variant."""
    found = in_groups(3, without=4)
    results = collect(found, tables.CURRICULUM)
    text, built = markdown.text(results, {}), build(found)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| game")]
    means = [line.split(" | ") for line in text.splitlines() if "**macro average**" in line]
    assert len(means) == 8
    assert [row[0] for row in rows] == [rf"| game\|{n}" for n in (0, 1, 2) for _ in range(8)]
    assert {row[3] for row in rows} == {"12"}
    for mean in means:
        own = [float(row[4].rstrip("%")) for row in rows if row[1:3] == mean[1:3]]
        assert float(mean[4].rstrip("%")) == pytest.approx(sum(own) / 3, abs=0.02)
    said = (
        "Macro average: the mean over 3 groups; its interval is of whole groups drawn at random. "
        "4 utterances have no group and are not in it."
    )
    for whole in (text, html.unescape(built)):
        assert whole.count(said) == 1
        assert "game|0" in whole.replace("\\", "")
    page_rows = re.findall(r'<th scope="row">(game\|\d|macro average)</th>', built)
    assert len(page_rows) == 8 * 4 + 8 * 3  # the table, and the panel of each variant
    (test, ood) = results
    assert test.macro
    assert ood.macro is None


def test_of_many_groups_the_largest_are_shown() -> None:
    """All of them are in the mean; without groups there is nothing of this."""
    found = in_groups(30)
    text = markdown.text(collect(found, tables.CURRICULUM), {})
    assert "the mean over 30 groups, of which the 20 largest are shown; its" in text
    assert len(re.findall(r"^\| game", text, re.MULTILINE)) == 20 * 8
    sizes = re.findall(r"^\| game.*? \| (\d+) \| [\d.]+% ", text, re.MULTILINE)
    assert sizes == sorted(sizes, reverse=True)
    plain = tables.tables()
    assert "acro" not in markdown.text(collect(plain, tables.CURRICULUM), {})
    assert "Macro average" not in build(plain)


def test_clips_are_mp3_with_the_same_bytes() -> None:
    """The same samples give the same address."""
    samples = (np.sin(np.arange(16_000) / 10) / 4).astype(np.float32)
    first = clips.data_uri(samples)
    assert first == clips.data_uri(samples)
    assert first.startswith("data:audio/mpeg;base64,")
    assert len(first) < 8_000


def test_plots_leave_colours_to_the_page() -> None:
    """No colour of their own, so that both themes work; each has a title for screen readers."""
    drawn = re.findall(r"<svg.*?</svg>", build(tables.tables(utterances=8)), re.DOTALL)
    assert len(drawn) == 5
    for plot in drawn:
        assert not re.search(r"(fill|stroke): #", plot)
        assert "<title>" in plot
        assert 'role="img"' in plot


def test_names_below_a_plot_do_not_run_into_each_other() -> None:
    """They are tilted where they would, as in a run with two checkpoints of each phase."""

    def tilted(*names: str) -> bool:
        curriculum = Curriculum(
            ("base", *names),
            ("none",),
            {"adaptor": "base", "encoder": "adaptor/p100", "full": "encoder/p100"},
            {},
        )
        rows = {"test": {"a": ("葵だ", "凛だ")}}
        found = {Variant(name, "none"): tables.table(rows) for name in ("base", *names)}
        (results,) = collect(found, curriculum)
        return "rotate(-30 " in plots.curve(results, curriculum)

    phases = ["adaptor", "encoder", "full"]
    assert not tilted(*(f"{phase}/p100" for phase in phases))
    assert tilted(*(f"{phase}/{part}" for phase in phases for part in ("p50", "p100")))


def test_columns_are_those_of_the_tables() -> None:
    """The helper makes what the score stage writes."""
    assert list(tables.tables()[Variant("base", "none")]) == scored.SCHEMA.names
    assert isinstance(scored.frame([]), pd.DataFrame)
