"""The page to listen and correct in a real browser, with the command behind it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, Route, expect, sync_playwright

from galgame_asr.manifests import corrections
from tests import labels
from tests.pipeline.test_report_page import ARGUMENTS, CHROMIUM, CUT, PHONE

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
COUNT = 120
expect.set_options(timeout=30_000)  # a machine that is busy with other tests takes its time
LAST = f"{COUNT - 1:04}"
COMMAND = [sys.executable, "-c", "from galgame_asr.cli import main; main()", "label", "vn"]


@dataclass
class Server:
    """The command, in a folder, with a browser that has met no trouble so far."""

    folder: Path
    context: BrowserContext
    queue: str = "audit"
    port: int = 0
    address: str = ""
    problems: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, at the port it had before."""
        self.process = subprocess.Popen(
            [*COMMAND, "--queue", self.queue, "--by", "mei", "--port", str(self.port)],
            cwd=self.folder, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.address = line.split()[0]
        self.port = int(line.split(":")[2].partition("/")[0])

    def kill(self) -> None:
        """End it as nobody wants to be ended."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def open(self) -> Page:
        """A new tab with the page, whose troubles are written down."""
        tab = self.context.new_page()
        tab.on("console", lambda message: self.problems.append(message.text))
        tab.on("pageerror", lambda error: self.problems.append(str(error)))
        tab.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((f"http://127.0.0.1:{self.port}/", "blob:", "data:"))
                else self.problems.append(request.url)
            ),
        )
        tab.goto(self.address)
        ready(tab)
        return tab


def ready(tab: Page) -> None:
    """Wait until a decision can be made."""
    expect(tab.locator(".utterance")).to_have_attribute("aria-busy", "false")
    expect(tab.locator("#counts")).not_to_be_empty()


def shown(tab: Page) -> str:
    """The id of the utterance that is shown."""
    return tab.locator("#id").inner_text()


def press(tab: Page, *keys: str) -> str:
    """Press keys after each of which another utterance shows; the id of the last."""
    for key in keys:
        before = shown(tab)
        tab.keyboard.press(key)
        expect(tab.locator("#id")).not_to_have_text(before)
        ready(tab)
    return shown(tab)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with an audit, which no test changes."""
    folder = tmp_path_factory.mktemp("corpus")
    labels.make(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A browser with an empty profile."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, args=ARGUMENTS
        )
        yield opened
        opened.close()


@pytest.fixture
def server(corpus: Path, context: BrowserContext, tmp_path: Path) -> Iterator[Server]:
    """The command with the audit's queue; no tab stays open, and none has complained."""
    shutil.copytree(corpus, tmp_path, dirs_exist_ok=True)
    found = Server(tmp_path, context)
    found.start()
    yield found
    found.kill()
    for tab in context.pages[1:]:
        tab.close()
    assert found.problems == []


@pytest.fixture
def tab(server: Server) -> Page:
    """The page, freshly opened."""
    return server.open()


class Hundred:
    """Decisions by keyboard alone, each of which is in the file when the next utterance shows."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.wanted: dict[str, tuple[str, str]] = {}  # what and text, by id

    def decide(self, tab: Page, until: int) -> None:
        """Decide what is shown, in one of four ways, until there are so many decisions."""
        while (number := len(self.wanted)) < until:
            id_, proposal = shown(tab), tab.locator("#texts dd").nth(2).inner_text()
            if number % 4 == 1:
                tab.keyboard.press("e")
                tab.keyboard.press("Control+a")
                tab.keyboard.insert_text(f"直した{number}。")
            press(tab, ["t", "Enter", "d", "Enter"][number % 4])
            self.wanted[id_] = [
                ("text", proposal), ("text", f"直した{number}。"), ("drop", ""), ("keep", "")
            ][number % 4]  # fmt: skip
            self.check()

    def check(self) -> None:
        """The file has them, and nothing else."""
        found = labels.decided(self.server.folder)
        assert {id_: (one.what, one.text) for id_, one in found.items()} == self.wanted


def test_a_hundred_corrections_by_keyboard(server: Server, tab: Page) -> None:
    """None is lost, whatever happens to tabs and server meanwhile.

    By a reload, a second tab that decides too, and two kills of the server: while a text is
    written, and while a decision is on its way.
    """
    hundred = Hundred(server)
    hundred.decide(tab, 30)
    reload(hundred, tab)
    hundred.decide(tab, 45)
    decide_in_two_tabs(hundred, tab)
    hundred.decide(tab, 70)
    kill_while_a_text_is_written(hundred, tab)
    hundred.decide(tab, 85)
    kill_while_a_decision_is_sent(hundred, tab)
    hundred.decide(tab, 100)
    assert tab.locator("#counts").inner_text().startswith(f"100 of {COUNT} decided")
    lines = corrections.read(server.folder / "corrections/vn.tsv")
    assert len(lines) == 100
    assert {(one.by, one.why) for one in lines} == {("mei", "audit")}


def reload(hundred: Hundred, tab: Page) -> None:
    """The same utterance shows."""
    before = shown(tab)
    tab.reload()
    ready(tab)
    assert shown(tab) == before
    hundred.check()


def decide_in_two_tabs(hundred: Hundred, tab: Page) -> None:
    """What the first one shows is decided in the second: it says so, and writes nothing."""
    hundred.decide(hundred.server.open(), 55)
    tab.bring_to_front()
    tab.keyboard.press("d")
    expect(tab.get_by_role("alert")).to_contain_text("decided elsewhere")
    assert "409" in hundred.server.problems.pop()
    hundred.check()
    while tab.locator("#accept").inner_text().startswith("Leave"):
        press(tab, "Enter")


def kill_while_a_text_is_written(hundred: Hundred, tab: Page) -> None:
    """It is there when the new address is opened; the old one tells what to do."""
    server = hundred.server
    tab.keyboard.press("e")
    tab.keyboard.insert_text("、と")
    begun, text = shown(tab), tab.locator("#text").input_value()
    server.kill()
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("alert")).to_contain_text("does not answer")
    old = server.address
    server.start()
    assert server.address != old
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("alert")).to_contain_text("started anew")
    assert all(re.search("ERR_|403", problem) for problem in server.problems)
    server.problems.clear()
    hundred.check()
    tab.goto(server.address)
    ready(tab)
    assert (shown(tab), tab.locator("#text").input_value()) == (begun, text)
    press(tab, "Enter")
    hundred.wanted[begun] = ("text", text)
    hundred.check()


def kill_while_a_decision_is_sent(hundred: Hundred, tab: Page) -> None:
    """It is in the file or it is not, and all others are."""
    server, id_ = hundred.server, shown(tab)

    def kill(route: Route) -> None:
        route.continue_()
        server.kill()

    tab.route("**/decide", kill)
    tab.keyboard.press("d")
    expect(tab.locator(".utterance")).to_have_attribute("aria-busy", "false")
    tab.unroute_all()
    if id_ in labels.decided(server.folder):
        hundred.wanted[id_] = ("drop", "")
    hundred.check()
    server.problems.clear()
    server.start()
    tab.goto(server.address)
    ready(tab)


def test_an_input_method_composes(tab: Page, server: Server) -> None:
    """Enter that takes what an input method proposes saves nothing; the next one does."""
    tab.keyboard.press("e")
    tab.keyboard.press("Control+a")
    keyboard = tab.context.new_cdp_session(tab)
    keyboard.send(
        "Input.imeSetComposition", {"text": "なおした", "selectionStart": 4, "selectionEnd": 4}
    )
    before = shown(tab)
    for code in (13, 229):  # as browsers have it, and as Safari has
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": code}
        keyboard.send("Input.dispatchKeyEvent", {"type": "rawKeyDown"} | enter)
        keyboard.send("Input.dispatchKeyEvent", {"type": "keyUp"} | enter)
    tab.wait_for_timeout(200)
    assert shown(tab) == before
    assert labels.decided(server.folder) == {}
    keyboard.send("Input.insertText", {"text": "直した"})
    assert tab.locator("#text").input_value() == "直した"
    press(tab, "Enter")
    assert labels.decided(server.folder)[before].text == "直した"


def test_undo_goes_back_step_by_step(tab: Page, server: Server) -> None:
    """To what was decided before, also after a reload; then there is nothing to undo."""
    first = shown(tab)
    press(tab, "d", "t")
    assert len(labels.decided(server.folder)) == 2
    press(tab, "b", "b")
    tab.keyboard.press("e")
    tab.keyboard.insert_text("ね")
    press(tab, "Enter")
    assert labels.decided(server.folder)[first].what == "text"
    assert press(tab, "u") == first
    assert labels.decided(server.folder)[first].what == "drop"
    tab.reload()
    ready(tab)
    press(tab, "u", "u")
    assert shown(tab) == first
    assert labels.decided(server.folder) == {}
    tab.keyboard.press("u")
    expect(tab.get_by_role("status").first).to_contain_text("nothing that could be undone")


def test_keys_move_and_change_nothing(tab: Page, server: Server) -> None:
    """Next, previous, help, search; in a field letters are letters, with Alt they are keys."""
    first = shown(tab)
    second = press(tab, "n")
    assert press(tab, "b") == first
    tab.keyboard.press("?")
    expect(tab.locator("#help")).to_have_attribute("open", "")
    tab.keyboard.press("/")
    tab.keyboard.type("dnt")
    expect(tab.locator(".utterance")).to_be_hidden()
    for _ in range(3):
        tab.keyboard.press("Backspace")
    expect(tab.locator(".utterance")).to_be_visible()
    tab.keyboard.press("Escape")
    tab.keyboard.press("e")
    tab.keyboard.type("dnt")
    assert tab.locator("#text").input_value().endswith("dnt")
    assert press(tab, "Alt+n") == second
    # Alone they can be switched off, for who speaks to the machine.
    tab.get_by_label("Keys work alone").uncheck()
    tab.keyboard.press("n")
    assert shown(tab) == second
    assert press(tab, "Alt+b") == first
    assert tab.locator("#text").input_value().endswith("dnt")
    tab.get_by_label("Keys work alone").check()
    assert labels.decided(server.folder) == {}


def test_a_reason_stands_beside_the_decision(tab: Page, server: Server) -> None:
    """In place of the queue's name; the next utterance has none."""
    first = shown(tab)
    tab.keyboard.press("w")
    tab.keyboard.insert_text("二人で話す")
    tab.keyboard.press("Enter")
    second = press(tab, "d")
    press(tab, "k")
    found = labels.decided(server.folder)
    assert (found[first].why, found[second].why) == ("二人で話す", "audit")


def test_filters_and_search(tab: Page, server: Server) -> None:
    """Narrow what is gone through, and hold over a reload."""
    press(tab, "d", "t", "Enter")
    tab.get_by_label("Show").select_option("dropped")
    expect(tab.locator("#utterance")).to_have_text("Utterance 1 of 1")
    tab.get_by_label("Show").select_option("open")
    expect(tab.locator("#utterance")).to_have_text(f"Utterance 1 of {COUNT - 3}")
    tab.locator("#tag").select_option("agreed")
    expect(tab.locator("#utterance")).to_have_text(f"Utterance 1 of {COUNT * 4 // 5 - 3}")
    tab.get_by_label("Text or id").fill("００１")
    expect(tab.locator("#utterance")).to_have_text("Utterance 1 of 8")
    tab.reload()
    ready(tab)
    expect(tab.locator("#utterance")).to_have_text("Utterance 1 of 8")
    assert tab.get_by_label("Show").input_value() == "open"


def test_the_difference_is_told_without_colour(tab: Page) -> None:
    """As in the report: by marks, and by words that are hidden."""
    line = tab.locator("#texts dd").first
    assert line.locator("ins").inner_text() == "ね"
    assert "[only in the proposal: ね]" in str(line.text_content())


def test_it_plays(tab: Page) -> None:
    """From start to end, at another speed, again in a loop, and from where the arrows lead."""

    def seconds() -> float:
        return float(tab.locator("#time").inner_text().partition(" ")[0])

    play = tab.locator("#play")
    tab.get_by_label("Play at once").uncheck()
    press(tab, "n")
    expect(tab.locator("#time")).to_have_text("0.0 of 1.0 s")
    tab.keyboard.press("p")
    expect(play).to_contain_text("Stop")
    expect(play).to_contain_text("Play")
    assert seconds() == 1.0
    tab.keyboard.press("ArrowLeft")
    expect(tab.locator("#time")).to_have_text("0.5 of 1.0 s")
    for _ in range(5):
        tab.keyboard.press("s")
    expect(tab.locator("#speed")).to_have_text("0.5")
    tab.keyboard.press("l")
    expect(tab.locator("#loop")).to_have_attribute("aria-pressed", "true")
    tab.keyboard.press("p")
    tab.wait_for_timeout(1500)
    expect(play).to_contain_text("Stop")
    tab.keyboard.press("p")
    expect(play).to_contain_text("Play")
    tab.keyboard.press("l")
    tab.get_by_label("Play at once").check()
    press(tab, "n")
    expect(play).to_contain_text("Stop")
    expect(tab.locator("#speed")).to_have_text("0.5")


def test_damaged_audio_is_told(tab: Page, server: Server) -> None:
    """And its label can be decided all the same."""
    shard = server.folder / "data/raw/vn/vn-000000.tar"
    shard.write_bytes(shard.read_bytes()[:1_000])
    tab.get_by_label("Text or id").fill(LAST)
    expect(tab.get_by_role("alert")).to_contain_text("No sound: utterance")
    assert all("422" in problem for problem in server.problems)
    server.problems.clear()
    tab.keyboard.press("Enter")
    tab.keyboard.press("d")
    expect(tab.locator("#counts")).to_contain_text("1 dropped")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_no_accessibility_violation(tab: Page, server: Server, scheme: str, width: int) -> None:
    """By axe-core, in both themes and on a phone, with a decision, help and trouble open."""
    tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.set_viewport_size({"width": width, "height": 800})
    tab.keyboard.press("?")
    press(tab, "t", "b")
    tab.evaluate("document.querySelector('#trouble').textContent = 'Nothing was saved.'")
    found = Axe().run(tab)
    assert found.violations_count == 0, found.generate_report()
    # Axe tries a style of its own, which the page's policy refuses.
    assert all("inline style" in problem for problem in server.problems)
    server.problems.clear()


@pytest.mark.parametrize("size", ["100", "200"])
def test_nothing_is_cut(tab: Page, size: str) -> None:
    """On a phone, and with the largest text."""
    tab.set_viewport_size(PHONE)  # type: ignore[arg-type]
    tab.get_by_label("Text size").select_option(size)
    tab.keyboard.press("?")
    assert tab.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert tab.evaluate(CUT) == []
    tab.get_by_label("Text size").select_option("100")


def test_the_theme_is_remembered(tab: Page) -> None:
    """The switch overrides what the system prefers; the waveform has the theme's colours."""
    colour = "getComputedStyle(document.body).backgroundColor"
    found = {}
    for system in ("light", "dark"):
        tab.emulate_media(color_scheme=system)
        found[system] = tab.evaluate(colour)
    assert found["light"] != found["dark"]
    tab.get_by_label("Light").check(force=True)
    tab.reload()
    ready(tab)
    assert tab.evaluate(colour) == found["light"]
    tab.get_by_label("System").check(force=True)
    assert tab.evaluate(colour) == found["dark"]


def test_a_screen_reader_hears_what_shows(tab: Page, server: Server) -> None:
    """The live region says what was done, then place, label and proposal of the next."""
    press(tab, "d")
    label, proposal = (tab.locator("#texts dd").nth(n).inner_text() for n in (1, 2))
    said = str(tab.locator("#said").text_content())
    assert said == f"Dropped. Utterance 2 of {COUNT}. Label: {label}. Proposal: {proposal}"
    names = tab.get_by_role("button").evaluate_all(
        "(all) => all.map((one) => one.getAttribute('aria-keyshortcuts'))"
    )
    assert all(names)
    assert len(names) == 11


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The address of another page on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>Elsewhere</title>")

        def log_message(self, *_: object) -> None:
            pass

    other = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{other.server_port}/"
    other.shutdown()
    other.server_close()


def test_another_page_learns_and_does_nothing(server: Server, elsewhere: str) -> None:
    """Though it knows the address with its token: neither reads, nor writes, nor frames it."""
    other = server.context.new_page()
    other.goto(elsewhere)
    wish: dict[str, object] = {
        "id": "0001",
        "what": "drop",
        "text": "",
        "why": "",
        "seen": None,
        "among": {},
    }
    for what, options in (
        ("", {}),
        ("decide", {"method": "POST", "body": json.dumps(wish)}),
        ("decide", {"method": "POST", "body": json.dumps(wish), "mode": "no-cors"}),
    ):
        asked = "([url, options]) => fetch(url, options).then(() => 'read', () => 'refused')"
        assert other.evaluate(asked, [f"{server.address}{what}", options]) == "refused"
    assert labels.decided(server.folder) == {}
    framed = other.evaluate(
        """async (url) => {
          const frame = document.createElement("iframe");
          const loaded = new Promise((resolve) => frame.addEventListener("load", resolve));
          frame.src = url;
          document.body.append(frame);
          await loaded;
          try { return frame.contentDocument?.title ?? "refused"; } catch { return "refused"; }
        }""",
        server.address,
    )
    assert framed == "refused"
    answer = other.goto(server.address.replace(server.address[-9:-1], "x" * 8))
    assert answer is not None
    assert answer.status == 403
