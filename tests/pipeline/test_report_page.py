"""The report page in a real browser: from disk, without a network."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright

from galgame_asr.decoding.speed import Conditions, Speed
from galgame_asr.experiment.curriculum import Curriculum
from galgame_asr.report import clips, page
from galgame_asr.report.collect import collect
from galgame_asr.scoring import scored
from tests import tables

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip
PHONE = {"width": 360, "height": 780}
CARDS = ".utterances > li"


LONG = Curriculum(
    checkpoints=(
        "base", "encoder-and-adaptor/p50", "encoder-and-adaptor/p100",
        "mean_of_the_last_checkpoints_of_it", "export/sherpa-onnx-int8-quantised",
    ),
    prompts=("none", "japanese_with_all_the_hotwords"),
    inits={"encoder-and-adaptor": "base"},
    averaged={"mean_of_the_last_checkpoints_of_it": "encoder-and-adaptor"},
    exports={"export/sherpa-onnx-int8-quantised": "encoder-and-adaptor/p100"},
)  # fmt: skip
SPEED = Speed(
    Conditions(
        "NVIDIA H100 80GB HBM3", 16, "float32", 6000, "2.11.0+cu130", 12_345, 6_789.0, 4_012.3
    ),
    (61.2, 58.7, 60.1),
)
GAME = "夏の終わりのとても長い名前のゲーム_extended_edition_"
# What is wider than its place, or beyond the right edge of its plot.
CUT = """() => {
  document.querySelectorAll("details").forEach((details) => { details.open = true; });
  document.querySelectorAll(".panel").forEach((panel) => { panel.hidden = false; });
  const wide = [...document.querySelectorAll("body *:not(.hidden, svg *)")].filter((part) =>
    getComputedStyle(part).display !== "inline" && part.scrollWidth > part.clientWidth + 1);
  const beyond = [...document.querySelectorAll("svg text")].filter((text) => {
    const [inner, outer] = [text, text.closest("svg")].map((part) => part.getBoundingClientRect());
    return inner.left < outer.left - 1 || inner.right > outer.right + 1;
  });
  const name = (part) => `${part.tagName} ${part.textContent.trim().slice(0, 60)}`;
  return [...wide, ...beyond].map(name);
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 8 variants with 60 utterances in each set, a fifth of those in domain one's own.

    Two thirds of these are of a game with a long name.
    """
    found = tables.tables(utterances=60)
    for part in found.values():
        part.loc[(part["set"] == "test") & (part.index % 5 == 0), "corpus"] = "own"
        in_game = (part["set"] == "test") & (part.index % 3 > 0)
        part["group"] = [f"{GAME}{n % 4}" if own else None for n, own in enumerate(in_game)]
    tone = (np.sin(np.arange(8_000) / 10) / 4).astype(np.float32)
    clip = clips.data_uri(tone)
    results = collect(found, tables.CURRICULUM)
    path = tmp_path_factory.mktemp("report") / "report.html"
    built = page.build(found, results, tables.CURRICULUM, lambda _set, _id: clip, tables.EXPORTS)
    path.write_text(built, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A browser with an empty profile and no network."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, args=ARGUMENTS
        )
        opened.set_offline(True)
        yield opened
        opened.close()


@pytest.fixture
def browser(context: BrowserContext, report: Path) -> Iterator[Page]:
    """The page, freshly opened; afterwards it has asked for nothing and complained of nothing."""
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on(
        "request",
        lambda request: (
            None if request.url.startswith(("file:", "data:")) else problems.append(request.url)
        ),
    )
    opened.goto(report.as_uri())
    yield opened
    opened.close()
    assert problems == []


def status(browser: Page) -> str:
    return browser.get_by_role("status").inner_text()


def shares(browser: Page) -> list[int]:
    """The CER of each utterance shown."""
    return [
        int(text.removesuffix("%")) for text in browser.locator(f"{CARDS} strong").all_inner_texts()
    ]


def test_filters_and_pages(browser: Page) -> None:
    """Text and kind narrow the list; the count says so, in a live region."""
    assert status(browser) == "60 of 60 utterances match, showing 1 to 20"
    assert browser.locator(CARDS).count() == 20
    browser.get_by_role("button", name="Next").click()
    assert "showing 21 to 40" in status(browser)
    browser.get_by_label("Text or id").fill("おはよう")
    assert status(browser).startswith("15 of 60 utterances match, showing 1 to 15")
    browser.get_by_label("Text or id").fill("nothing has this")
    assert status(browser) == "0 of 60 utterances match"
    browser.get_by_label("Text or id").fill("")
    browser.get_by_label("Only").select_option("without errors")
    assert set(shares(browser)) == {0}
    browser.get_by_label("Only").select_option("with errors")
    assert 0 not in shares(browser)
    browser.get_by_label("Only").select_option("misheard")
    assert (
        browser.locator(f"{CARDS} .tag", has_text="misheard").count()
        == browser.locator(CARDS).count()
    )


def test_filters_by_corpus(browser: Page) -> None:
    """The list of a set with several corpora; a set with one has no such choice."""
    corpus = browser.get_by_label("Corpus")
    assert corpus.locator("option").all_inner_texts() == ["all", "own", "vn"]
    corpus.select_option("own")
    assert status(browser) == "12 of 60 utterances match, showing 1 to 12"
    assert browser.locator(f"{CARDS} .facts", has_text="· own").count() == 12
    choices = browser.locator("#filters")
    choices.get_by_label("Variant").select_option("base-none")
    assert status(browser).startswith("12 of 60")
    choices.get_by_label("Set").select_option("Out of domain (ood)")
    assert corpus.is_hidden()
    assert status(browser).startswith("60 of 60")


def test_opens_on_the_newest_phase(browser: Page) -> None:
    """Both the list and the figures of one variant, with the first prompt."""
    for place in ("#filters", "#detail"):
        chosen = browser.locator(place).get_by_label("Variant")
        assert chosen.input_value() == "full/p100-none"
    assert browser.locator(".panel:visible h3").inner_text() == "full/p100 · none, in domain (test)"


def test_sorts_and_changes_the_variant(browser: Page) -> None:
    """Each order holds; set and variant are chosen in both places at once."""
    choices = browser.locator("#filters")
    choices.get_by_label("Variant").select_option("base-none")
    choices.get_by_label("Set").select_option("Out of domain (ood)")
    assert browser.locator(".panel:visible h3").inner_text() == "base · none, out of domain (ood)"
    browser.get_by_label("Sort by").select_option("highest CER")
    assert shares(browser) == sorted(shares(browser), reverse=True)
    browser.get_by_label("Sort by").select_option("id")
    ids = browser.locator(f"{CARDS} .id").all_inner_texts()
    assert ids == sorted(ids)


def test_the_diff_is_told_without_colour(browser: Page) -> None:
    """Marks are del and ins, and hidden words say what each is."""
    browser.locator("#filters").get_by_label("Variant").select_option("base-none")
    first = browser.locator(f"{CARDS} dd").first
    assert first.locator("del, ins").count()
    assert any(
        word in str(first.text_content()) for word in ("[missing:", "[added:", "[instead of")
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_failed_export_is_red(browser: Page, scheme: Literal["light", "dark"]) -> None:
    """In both themes and in words: what the gate refuses comes first, its row says failed."""
    browser.emulate_media(color_scheme=scheme)
    colour = "(one) => getComputedStyle(one).color.match(/[0-9]+/g).map(Number)"
    first = browser.locator(".findings li").first
    assert first.inner_text().startswith("Export small failed its gate: 1 of 40 texts are equal")
    rows = browser.locator("#exports tbody th")
    assert rows.all_inner_texts() == ["plain", "small failed"]
    for place in (first, rows.nth(1).locator(".failed")):
        red, green, blue = place.evaluate(colour)
        assert red > green + 60
        assert red > blue + 60


def test_the_theme_is_remembered(browser: Page) -> None:
    """The switch overrides what the system prefers, also after the page is opened again."""
    colour = "getComputedStyle(document.body).backgroundColor"
    found = {}
    for system in ("light", "dark"):
        browser.emulate_media(color_scheme=system)
        found[system] = browser.evaluate(colour)
    assert found["light"] != found["dark"]
    browser.get_by_label("Light").check(force=True)
    assert browser.evaluate(colour) == found["light"]
    browser.reload()
    assert browser.evaluate(colour) == found["light"]
    browser.get_by_label("System").check(force=True)
    assert browser.evaluate(colour) == found["dark"]


def test_audio_plays(browser: Page) -> None:
    """From the page itself, to its end."""
    browser.get_by_label("Only").select_option("with audio")
    audio = browser.locator("audio").first
    ended = audio.evaluate(
        """async (audio) => {
          const ended = new Promise((resolve) => audio.addEventListener("ended", resolve));
          await audio.play();
          await ended;
          return [audio.currentTime, audio.duration];
        }"""
    )
    assert ended[0] == ended[1] > 0.4


def test_a_phone_needs_no_scrolling_sideways(browser: Page) -> None:
    """Only the tables and plots do, inside their own regions."""
    browser.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert browser.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    regions = browser.locator(".scroll:visible")
    assert regions.count() > 5
    for region in regions.all():
        assert region.get_attribute("tabindex") == "0"
        assert region.get_attribute("aria-label")


def test_nothing_is_cut_on_a_small_laptop(context: BrowserContext, tmp_path: Path) -> None:
    """At 1280 pixels no table, plot or text needs scrolling sideways, however long the names.

    Nor with speed and size beside the rates, and with names counted.
    """
    found = tables.tables(LONG, utterances=20)
    for part in found.values():
        part.loc[part.index % 2 == 0, "corpus"] = "recordings_of_one_and_the_same_speaker_" * 2
        part["group"] = ["a_very_long_name_of_a_game_and_its_edition_" * 2] * len(part)
        part.loc[part.index % 3 == 0, "group"] = "game"
        part.loc[1, ["heard", "hypothesis"]] = "hallelujah" * 40
        part[list(scored.NAMES)] = 1234, 1034, 1134
    found |= {replace(v, revision="feature/another_branch"): part for v, part in found.items()}
    checked = {"sherpa-onnx-int8-quantised": tables.EXPORTS["small"]}
    path = tmp_path / "report.html"
    speeds = dict.fromkeys(found, SPEED)
    built = page.build(found, collect(found, LONG), LONG, lambda _set, _id: None, checked, speeds)
    assert "mathdefault" not in built, "a number that only matplotlib's own text can show"
    path.write_text(built, encoding="utf-8")
    opened = context.new_page()
    opened.set_viewport_size({"width": 1280, "height": 800})
    opened.goto(path.as_uri())
    for shown in ("Names of the set", "RTFx", "4,012.3"):
        assert opened.get_by_text(shown).count()
    assert opened.evaluate(CUT) == []
    # On a phone the script finds the tables that scroll, and the page itself does not.
    opened.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert any(line.startswith("DIV") for line in opened.evaluate(CUT))
    assert opened.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    opened.close()


def test_a_table_that_scrolls_says_so(browser: Page) -> None:
    """By a shade at the edge behind which there is more, and by none where there is not."""
    table = browser.locator("#variants .scroll").first

    def edges() -> list[bool]:
        """Left and right: darker than the ground of the table, also where text stands on it."""
        grey = np.asarray(Image.open(io.BytesIO(table.screenshot())).convert("L"))
        return [bool(np.median(grey) - np.median(grey[:, place]) > 10) for place in (3, -4)]

    browser.emulate_media(color_scheme="light")
    browser.set_viewport_size({"width": 1280, "height": 800})
    assert edges() == [False, False]
    browser.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert edges() == [False, True]
    table.evaluate("(region) => { region.scrollLeft = 60; }")
    assert edges() == [True, True]
    table.evaluate("(region) => { region.scrollLeft = 9999; }")
    assert edges() == [True, False]


def test_the_keyboard_reaches_everything(browser: Page) -> None:
    """Tab comes to the skip link first, then to every control."""
    browser.keyboard.press("Tab")
    assert browser.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(120):
        browser.keyboard.press("Tab")
        reached.add(browser.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"corpus", "text", "only", "sort", "next", "AUDIO", "SUMMARY"} <= reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_no_accessibility_violation(browser: Page, scheme: str, width: int) -> None:
    """By axe-core, in both themes and on a phone.

    Without gradients: it tells no contrast over them, and they mark edges alone.
    """
    browser.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    browser.set_viewport_size({"width": width, "height": 800})
    browser.add_style_tag(content="* { background-image: none !important }")
    for summary in browser.locator("summary").all():
        summary.click()
    found = Axe().run(browser)
    assert found.violations_count == 0, found.generate_report()


def test_a_page_without_rows_opens(context: BrowserContext, tmp_path: Path) -> None:
    """And has no error either."""
    empty = {variant: part.iloc[:0] for variant, part in tables.tables(utterances=1).items()}
    path = tmp_path / "report.html"
    path.write_text(page.build(empty, [], tables.CURRICULUM, lambda _set, _id: None, {}))
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(path.as_uri())
    assert "No utterance was scored" in opened.locator("main").inner_text()
    assert errors == []
    opened.close()
