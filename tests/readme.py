"""What README.md and docs/ tell a reader to run, in the order in which a reader meets it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

README = "README.md"
PAGE = re.compile(r"^- \[[^\]]+\]\((docs/[\w-]+\.md)\)", re.MULTILINE)  # an item of its last list
TOKEN = re.compile(
    r"^##? (?P<section>[^\n]+)$"
    r"|^```(?P<language>\w*)\n(?P<block>.*?)^```$"
    r"|`(?P<code>[^`]+)`",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"([A-Z_]+=\S+ )*(make|dvc|galgame-asr|git|pip|mv|python -m) [\w.-]")
VALUES = re.compile(r"[a-z_]+: \{.*\}")  # of a section of params.yaml
PLACEHOLDER = re.compile(r"(?<!\S)[A-Z]{2,}(?!\S)")


@dataclass(frozen=True)
class Command:
    """One command, and where it stands."""

    page: str
    line: int
    section: str
    text: str
    block: bool  # in a bash block, else within a sentence
    examples: tuple[str, ...]  # YAML for params.yaml that the section showed before it

    @property
    def key(self) -> str:
        """Its name in tables."""
        return f"{self.page}: {self.text}"

    @property
    def place(self) -> str:
        """The file and the line."""
        return f"{self.page}:{self.line}"


def pages(root: Path) -> dict[str, str]:
    """The text of README.md and of the pages that it lists, in its order, by path."""
    readme = (root / README).read_text()
    return {README: readme} | {name: (root / name).read_text() for name in PAGE.findall(readme)}


def commands(page: str, text: str) -> Iterator[Command]:
    """All lines of a page's bash blocks, and all commands within its sentences."""
    section, examples = "", list[str]()
    for token in TOKEN.finditer(text):
        line = 1 + text.count("\n", 0, token.start())
        if token["section"]:
            section, examples = token["section"], []
        elif token["language"] == "yaml":
            examples.append(token["block"])
        elif token["language"] == "bash":
            for number, written in enumerate(token["block"].splitlines(), line + 1):
                if command := written.partition(" #")[0].strip():
                    yield Command(page, number, section, command, True, tuple(examples))
        elif token["code"]:
            code = " ".join(token["code"].split())
            if VALUES.fullmatch(code):
                examples.append(code)
            elif COMMAND.match(code):
                yield Command(page, line, section, code, False, tuple(examples))


def values(text: str) -> list[str]:
    """All YAML for params.yaml that a page shows, in blocks and in sentences."""
    found = []
    for token in TOKEN.finditer(text):
        code = " ".join((token["code"] or "").split())
        if token["language"] == "yaml":
            found.append(token["block"])
        elif VALUES.fullmatch(code):
            found.append(code)
    return found


def steps(texts: Mapping[str, str]) -> list[Command]:
    """The commands that a reader runs: all of blocks, and of sentences those that no block has.

    A sentence often only names a command, by its first words or a second time.
    """
    found = [command for page, text in texts.items() for command in commands(page, text)]
    blocks = [command.text for command in found if command.block]
    chosen, told = [], set[str]()
    for command in found:
        named = any(f"{line} ".startswith(f"{command.text} ") for line in blocks)
        if command.block or not (named or command.text in told):
            chosen.append(command)
        told.add(command.text)
    return chosen


def merge(target: dict[str, Any], change: dict[str, Any]) -> None:
    """Lay nested values over others; `{}` and a section of another kind replace what is there."""
    for key, value in change.items():
        old = target.get(key)
        if value and isinstance(value, dict) and isinstance(old, dict) and _same_kind(value, old):
            merge(old, value)
        else:
            target[key] = value


def _same_kind(value: dict[str, Any], old: dict[str, Any]) -> bool:
    return bool(value.get("kind", old.get("kind")) == old.get("kind"))
