"""What a person sees of a queue, and does with it; the file of corrections is all that is kept."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from galgame_asr.core.params import section
from galgame_asr.labelling.queues import Item
from galgame_asr.manifests import corrections
from galgame_asr.manifests.corrections import Correction, What
from galgame_asr.messages.errors import DataError
from galgame_asr.report.diff import diff

LINE_ENDS = re.compile(r"[\r\n\t]+")

# A decision as the page has it; None: there is none.
Decision = dict[str, str] | None


class ConflictError(DataError):
    """Somebody else decided the utterance since it was shown; nothing was written."""


@section
class Filter:
    """Which utterances of a queue are gone through."""

    # Whether they are decided, or how.
    show: Literal["all", "open", "decided", "text", "drop", "keep"] = "all"
    # One that they have; empty: any.
    tag: str = ""
    # What id, label, proposal or new text holds.
    search: str = ""


class Desk:
    """A queue beside the decisions about it.

    Nothing is kept here but what the file says: any number of pages, and of servers, see the
    same, and what was decided is there after a kill.
    """

    def __init__(self, items: Sequence[Item], path: Path, by: str, why: str) -> None:
        """Take a queue.

        Args:
            items: the queue.
            path: the file of corrections.
            by: who decides.
            why: what stands in the file where the person says nothing.
        """
        self.items = items
        self.path = path
        self._by, self._why = by, why
        self._places = {item.id: place for place, item in enumerate(items)}
        self._texts = [plain(f"{i.id}\n{i.label}\n{i.proposal or ''}") for i in items]
        self._seen: object = ()
        self._latest: dict[str, Correction] = {}

    def __contains__(self, id_: object) -> bool:
        return id_ in self._places

    def item(self, id_: str) -> Item:
        """The utterance of an id.

        Raises:
            DataError: the queue has none.
        """
        if id_ not in self._places:
            raise DataError(f"utterance {id_!r} is not in this queue")
        return self.items[self._places[id_]]

    def tags(self) -> list[str]:
        """Those by which utterances can be chosen, the most frequent first."""
        counts = Counter(tag for item in self.items for tag in item.tags)
        return [tag for tag, _ in counts.most_common()]

    def first(self, among: Filter) -> str | None:
        """The first utterance that matches and is open; if all are decided, the first."""
        found = self._matching(among)
        latest = self.decisions()
        return next((id_ for id_ in found if id_ not in latest), found[0] if found else None)

    def view(self, id_: str | None, among: Filter) -> dict[str, Any]:
        """What the page shows: an utterance, its neighbours among those that match, progress.

        Args:
            id_: of the utterance; None: nothing matches.
            among: what is gone through.

        Raises:
            DataError: the queue has no such utterance, or the file of corrections is damaged.
        """
        latest = self.decisions()
        found = self._matching(among)
        place = -1 if id_ is None else self._places[self.item(id_).id]
        counts = Counter(latest[item.id].what for item in self.items if item.id in latest)
        return {
            "item": None if id_ is None else self._shown(self.items[place]),
            "decision": _plain(latest.get(id_)) if id_ is not None else None,
            "matching": len(found),
            "nth": found.index(id_) + 1 if id_ in found else None,
            "previous": next((i for i in reversed(found) if self._places[i] < place), None),
            "next": next((i for i in found if self._places[i] > place), None),
            "total": len(self.items),
            "counts": {what: counts[what] for what in ("keep", "text", "drop")},
        }

    def decide(
        self, id_: str, what: What, text: str, why: str, seen: Decision, among: Filter
    ) -> tuple[Decision, str | None]:
        """Write a decision, and say which utterance comes next.

        A text that is the corpus's own label is `keep`. The next one is the first open one behind
        this, or from the start; of those that are shown because they are decided, simply the next.

        Args:
            id_: of the utterance.
            what: as in the file.
            text: of `text` alone.
            why: empty: the queue.
            seen: the decision that the person saw.
            among: what is gone through.

        Returns:
            The decision as the page has it, on the disk by now, and the next id, if any.

        Raises:
            ConflictError: another was made since.
            DataError: the text is blank, or the queue has no such utterance.
        """
        item = self.item(id_)
        if what == "text" and text != item.label:
            text = LINE_ENDS.sub(" ", text).strip()
        if what == "text" and text == item.label and item.is_own:
            what, text = "keep", ""
        made = Correction(
            id=id_, what=what, was=item.label, text=text, by=self._by, when=corrections.now(),
            why=LINE_ENDS.sub(" ", why).strip() or self._why,
        )  # fmt: skip
        self._refuse_unseen(id_, seen)
        corrections.append(self.path, made)
        return _plain(made), self._after(id_, among)

    def undo(self, id_: str, made: Decision) -> None:
        """Take a decision back: its line goes, so that what was decided before counts again.

        Raises:
            ConflictError: another was made since.
        """

        def without(lines: list[Correction]) -> list[Correction]:
            places = [place for place, line in enumerate(lines) if line.id == id_]
            if not places or _plain(lines[places[-1]]) != made:
                raise ConflictError(f"utterance {id_!r} was decided anew since: nothing was undone")
            return [*lines[: places[-1]], *lines[places[-1] + 1 :]]

        corrections.change(self.path, without)

    def decisions(self) -> dict[str, Correction]:
        """The decisions that count, by id; the file is read where it is another than before.

        Raises:
            DataError: the file is damaged.
        """
        try:
            found = self.path.stat()
            now: object = (found.st_ino, found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            now = None
        if now != self._seen:
            self._latest = corrections.latest(corrections.read(self.path))
            self._seen = now
        return self._latest

    def _refuse_unseen(self, id_: str, seen: Decision) -> None:
        if _plain(self.decisions().get(id_)) != seen:
            raise ConflictError(
                f"utterance {id_!r} was decided elsewhere in the meantime; this is what it is now"
            )

    def _after(self, id_: str, among: Filter) -> str | None:
        found = self._matching(among)
        if among.show in ("all", "open"):
            latest = self.decisions()
            found = [i for i in found if i not in latest]
        behind = [i for i in found if self._places[i] > self._places[id_]]
        return next(iter(behind or found), None)

    def _matching(self, among: Filter) -> list[str]:
        latest, search = self.decisions(), plain(among.search.strip())
        return [
            item.id
            for item, text in zip(self.items, self._texts, strict=True)
            if among.tag in ("", *item.tags)
            and _is_shown(decision := latest.get(item.id), among.show)
            and (search in text or (decision and search in plain(decision.text)))
        ]

    def _shown(self, item: Item) -> dict[str, Any]:
        spans = [] if item.proposal is None else diff(item.label, item.proposal)
        return {
            "id": item.id,
            "place": self._places[item.id] + 1,
            "label": item.label,
            "proposal": item.proposal,
            "difference": [
                span.truth if span.truth == span.heard else [span.truth, span.heard]
                for span in spans
            ],
            "tags": item.tags,
            "note": item.note,
            "duration_s": round(item.duration_s, 2),
        }


def _plain(correction: Correction | None) -> Decision:
    if correction is None:
        return None
    return {name: getattr(correction, name) for name in ("what", "text", "by", "when", "why")}


def _is_shown(decision: Correction | None, show: str) -> bool:
    if decision is None:
        return show in ("all", "open")
    return show in ("all", "decided", decision.what)


def plain(text: str) -> str:
    """A text in which width and case make no difference: Ｖ.Ｎ. is v.n."""
    return unicodedata.normalize("NFKC", text).casefold()
