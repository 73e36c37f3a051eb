"""How much disk a run takes, and how much of it a push sends."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from galgame_asr.experiment.params import Params
from galgame_asr.planning import published
from galgame_asr.planning.plan import PhasePlan
from galgame_asr.shards.folder import FILES, TAR
from galgame_asr.training.params import PhaseParams

# Of a parameter that learns, in a saved state: itself, and AdamW's two means, in float32.
STATE_BYTES = 12


@dataclass(frozen=True)
class Use:
    """What one folder takes."""

    folder: str
    size_bytes: float
    what: str


def uses(
    params: Params,
    plans: Sequence[PhasePlan],
    checkpoint_bytes: Callable[[Collection[str]], int],
    parameters: int,
    raw: Path,
) -> list[Use]:
    """By folder. What no one has published, and is not here, counts as 0 and is named.

    Args:
        params: all sections.
        plans: of all phases.
        checkpoint_bytes: of one checkpoint in which such parts of the model have learned.
        parameters: of the model.
        raw: the folder of the corpora, as far as they are here.
    """
    phases = params.train.phases
    counts = {plan.name: _checkpoints(params, plan) for plan in plans if plan.name in phases}
    size = {name: checkpoint_bytes(parts) for name, parts in _learned(phases).items()}
    models = size["base"] + sum(count * size[name] for name, count in counts.items())
    models += sum(size[average.phase] for average in params.average.values())
    exports = sum(
        parameters * (4 if e.precision == "float32" else 2) for e in params.export.values()
    )
    learning = max((plan.learning for plan in plans), default=0)
    beside = sum(s.beside_bytes for s in map(published.size, params.corpora.values()) if s)
    sizes = sorted({f"{each / published.GB:.2g}" for each in size.values()}, key=float)
    each = f"of {' or '.join(sizes)} GB" if size["base"] > 1e8 else "each"
    return [
        *(_raw(name, params, raw) for name in params.corpora),
        Use(
            "models", models + exports,
            f"base, {sum(counts.values())} checkpoints and {len(params.average)} mean(s) {each}; "
            f"{len(params.export)} export(s)",
        ),
        Use(
            ".scratch", 2 * STATE_BYTES * learning + beside,
            "two saved states, of which one is being written"
            + ("; downloads that stay" if beside else ""),
        ),
    ]  # fmt: skip


def _raw(name: str, params: Params, raw: Path) -> Use:
    shards = [file for kind in (TAR, FILES) for file in (raw / name).glob(f"*{kind}")]
    if shards:
        stays = any(file.suffix == FILES for file in shards)
        what = "as it lies here" + ("; its audio stays where it is" if stays else "")
        return Use(f"data/raw/{name}", sum(file.stat().st_size for file in shards), what)
    size = published.size(params.corpora[name])
    if size:
        return Use(f"data/raw/{name}", size.raw_bytes, "published")
    return Use(f"data/raw/{name}", 0, "unknown: it is not here yet, and no size is published")


def _learned(phases: Mapping[str, PhaseParams]) -> dict[str, set[str]]:
    """Of the base and of each phase, the parts that have learned since the base by its end."""
    found: dict[str, set[str]] = {"base": set()}
    for name, phase in phases.items():
        own = {part for part, frozen in phase.freeze.items() if not frozen}
        found[name] = own | found.get(phase.init.partition("/")[0], set())
    return found


def _checkpoints(params: Params, plan: PhasePlan) -> int:
    phase = params.train.phases[plan.name]
    by_step = (plan.num_steps or 0) * phase.epochs // phase.every_steps if phase.every_steps else 0
    return len(phase.checkpoints) + by_step


def total(parts: Sequence[Use], *, pushed: bool) -> float:
    """Bytes of all, or of what `make push` sends: unfinished work stays."""
    return sum(part.size_bytes for part in parts if not (pushed and part.folder == ".scratch"))
