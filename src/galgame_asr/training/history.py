"""What a phase has done so far: with weights and optimizer, all that a resumed one needs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from galgame_asr.core.files import write_text
from galgame_asr.core.paths import DEV, LEFT_OUT, LOG
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import DataError

COLUMNS = {
    LOG: ("step", "epoch", "loss", "lr", "grad_norm", "audio_s"),
    DEV: ("step", "dev_loss", "dev_cer"),
    LEFT_OUT: ("id", "reason"),
}


@dataclass
class History:
    """Grows step by step; every process of a phase has the same."""

    step: int = 0  # steps done
    losses: list[float] = field(default_factory=list)  # of the steps since the last row
    log: list[dict[str, float]] = field(default_factory=list)
    dev: list[dict[str, float]] = field(default_factory=list)
    # Utterances that could not be trained on, or scored: CORPUS/ID -> why.
    left_out: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what `write` wrote."""
        return cls(**json.loads(file.read_text(encoding="utf-8")))

    def write(self, file: Path) -> None:
        """Write as JSON, in which numbers keep all their bits."""
        write_text(file, json.dumps(asdict(self), ensure_ascii=False))

    def write_tables(self, directory: Path) -> None:
        """Write the tables that people read."""
        left_out = [{"id": id_, "reason": why} for id_, why in sorted(self.left_out.items())]
        for name, rows in ((LOG, self.log), (DEV, self.dev), (LEFT_OUT, left_out)):
            _write_tsv(directory / name, COLUMNS[name], rows)

    def add_row(self, values: Mapping[str, float]) -> float:
        """Add a row to the log; gives the mean loss of the steps since the last one."""
        loss = math.fsum(self.losses) / len(self.losses)
        self.losses.clear()
        self.log.append({"step": self.step, "loss": loss, **values})
        return loss

    def leave_out(self, found: Mapping[str, str], *, max_share: float, of: int) -> None:
        """Note utterances that cannot be used.

        Raises:
            DataError: they are more than this share of so many.
        """
        for id_ in sorted(found.keys() - self.left_out.keys()):
            log.warning("left out %s: %s", id_, found[id_])
        self.left_out = {**found, **self.left_out}
        if len(self.left_out) > max_share * of:
            named = "; ".join(f"{id_}: {why}" for id_, why in sorted(self.left_out.items())[:3])
            raise DataError(
                f"{len(self.left_out)} of {of} utterances cannot be used, and "
                f"train.common.max_left_out is {max_share:g}: {named}. Leave them out by "
                "exclusions/CORPUS.tsv, or raise it"
            )

    def best_step(self, by: str) -> int:
        """The step with the lowest score of the dev set, the first of equals."""
        best = min(self.dev, key=lambda row: row[by])
        return int(best["step"])

    def has_stopped(self, patience: int, by: str) -> bool:
        """Whether the last `patience` scores are no better than one before them."""
        steps = [row["step"] for row in self.dev]
        return bool(steps) and len(steps) - 1 - steps.index(self.best_step(by)) >= patience


def _write_tsv(file: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    columns = [name for name in columns if not rows or name in rows[0]]
    lines = ["\t".join(columns)]
    for row in rows:
        cells = (row[column] for column in columns)
        lines.append("\t".join(c if isinstance(c, str) else f"{c:.6g}" for c in cells))
    write_text(file, "\n".join(lines) + "\n")
