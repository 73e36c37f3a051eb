"""Which checkpoint comes from which: what a variant is compared with, and where it is plotted."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from galgame_asr.experiment.params import Params


@dataclass(frozen=True)
class Curriculum:
    """The checkpoints that were decoded, in the order of the report, and the phases behind them."""

    checkpoints: tuple[str, ...]
    prompts: tuple[str, ...]
    # The checkpoint each phase starts from, by phase.
    inits: Mapping[str, str]
    # The phase whose checkpoints an averaged model is the mean of, by its name.
    averaged: Mapping[str, str]
    # The checkpoint that an export was made of, by export/NAME.
    exports: Mapping[str, str] = field(default_factory=dict)

    def phases(self) -> list[tuple[str, str, str]]:
        """(phase, its init, its last checkpoint), for phases of which both were decoded."""
        found = []
        for phase, init in self.inits.items():
            last = f"{phase}/p100"
            if last in self.checkpoints and init in self.checkpoints:
                found.append((phase, init, last))
        return found

    def previous(self, checkpoint: str) -> str | None:
        """What a checkpoint is compared with; None for the first row.

        A checkpoint of a phase with the one the phase started from, a mean with the
        end of its phase, an export with its checkpoint. Where that was not decoded, with
        the first row.
        """
        first = self.checkpoints[0]
        if checkpoint == first:
            return None
        if checkpoint in self.exports:
            previous = self.exports[checkpoint]
        elif checkpoint in self.averaged:
            previous = f"{self.averaged[checkpoint]}/p100"
        else:
            previous = self.inits.get(checkpoint.rpartition("/")[0], first)
        return previous if previous in self.checkpoints else first

    def position(self, checkpoint: str) -> float:
        """How many phases lie behind a checkpoint: 2.5 is in the middle of the third."""
        if checkpoint in self.exports:
            return self.position(self.exports[checkpoint])
        if checkpoint in self.averaged:
            return self.position(f"{self.averaged[checkpoint]}/p100")
        phase, _, percent = checkpoint.rpartition("/p")
        if phase not in self.inits:
            return 0.0
        return self.position(self.inits[phase]) + int(percent) / 100


def of_params(params: Params) -> Curriculum:
    """The curriculum that params.yaml describes."""
    return Curriculum(
        tuple(params.decode.checkpoints),
        tuple(params.prompts),
        {name: phase.init for name, phase in params.train.phases.items()},
        {name: average.phase for name, average in params.average.items()},
        {f"export/{name}": export.checkpoint for name, export in params.export.items()},
    )
