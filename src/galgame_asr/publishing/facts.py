"""What a model card tells, read from params.yaml, metrics/ and dvc.lock."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galgame_asr.base.existing import HubBase
from galgame_asr.core import params
from galgame_asr.core.paths import EXPORTS, METRICS, MODELS, QUALITY, TEST_SETS, VARIANTS, VERIFIED
from galgame_asr.experiment.params import Params
from galgame_asr.families.common.params import Prompt
from galgame_asr.formats.common import verified
from galgame_asr.formats.common.verified import Verified
from galgame_asr.formats.params import Entry as Export
from galgame_asr.messages.errors import ConfigError, ExportError
from galgame_asr.publishing import licences, provenance
from galgame_asr.publishing.licences import Terms
from galgame_asr.publishing.provenance import Provenance
from galgame_asr.training.params import TrainingParams

# Versions that decide what a model becomes.
PACKAGES = ("accelerate", "funasr", "numpy", "peft", "torch", "transformers")


@dataclass(frozen=True)
class CorpusFacts:
    """A corpus that the model was trained or tested on."""

    name: str
    terms: Terms
    trained: bool
    quality: Mapping[str, Any]  # metrics/quality/NAME.json
    # Utterances and hours of it in each set.
    sets: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Score:
    """The error rate of one variant on one set, as the report has it."""

    checkpoint: str
    prompt: str
    set: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """Everything that a card tells and no person types."""

    name: str
    family: str
    export: Export
    verified: Verified
    scores: list[Score]
    corpora: list[CorpusFacts]
    # From the base on, in order; the base's own training under its name.
    phases: list[tuple[str, TrainingParams]]
    # The checkpoints that the model is the mean of; none: it is one.
    averaged: list[str]
    params: Params
    # Name -> what the model is told, word for word.
    prompts: Mapping[str, str]
    provenance: Provenance
    packages: Mapping[str, str]
    files: Mapping[str, int]  # bytes

    @property
    def built_here(self) -> bool:
        """The base is no published model."""
        return self.params.base.built.recipe is not None

    @property
    def hub_base(self) -> HubBase | None:
        """The published model that this one comes from, if there is one."""
        return self.params.base.existing.hub

    @property
    def trained_on(self) -> dict[str, Terms]:
        """Terms of the corpora that the model heard, by name."""
        return {corpus.name: corpus.terms for corpus in self.corpora if corpus.trained}


def gather(name: str) -> Facts:
    """Read what is known about an export.

    Raises:
        ConfigError: params name no such export.
        ExportError: the export is not there, was not verified as params describe it, or failed.
        DataError: a file of metrics is missing or has other keys.
    """
    values = params.parse(Params, params.read_params(), "")
    if name not in values.export:
        hint = params.hint(name, list(values.export))
        raise ConfigError(f"{params.PARAMS_FILE}: export has no key '{name}'. {hint}")
    export = values.export[name]
    figures = _verified(name, export)
    where = provenance.of_export(name, MODELS / export.checkpoint, EXPORTS / name)
    phases = _lineage(values, export.checkpoint)
    averaged = values.average.get(export.checkpoint)
    return Facts(
        name=name,
        family=values.model.family,
        export=export,
        verified=figures,
        scores=_scores(values, name, export.checkpoint),
        corpora=_corpora(values, phases),
        phases=phases,
        averaged=[f"{averaged.phase}/p{p}" for p in averaged.checkpoints] if averaged else [],
        params=values,
        prompts={key: told(values.model.family, prompt) for key, prompt in values.prompts.items()},
        provenance=where,
        packages={"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in PACKAGES},
        files=_files(EXPORTS / name),
    )


def _verified(name: str, export: Export) -> Verified:
    """The figures of verify@NAME.

    Raises:
        ExportError: there are none, they are of another checkpoint or precision, or the gate
            refuses them.
    """
    file = VERIFIED / f"{name}.json"
    advice = f"`dvc repro verify@{name}` compares the export with its checkpoint"
    if not file.is_file() or not (EXPORTS / name).is_dir():
        missing = file if (EXPORTS / name).is_dir() else EXPORTS / name
        raise ExportError(
            f"{missing} does not exist: what was not verified is not published; {advice}"
        )
    found = verified.read(file)
    for key in ("checkpoint", "format", "precision"):
        if getattr(found, key) != getattr(export, key):
            raise ExportError(
                f"{file} is of {key} {getattr(found, key)}, and params.yaml asks for "
                f"{getattr(export, key)} in export.{name}; {advice}"
            )
    if found.problems:
        raise ExportError(
            f"export {name} failed its gate, and is not published: {found.refusal}; {advice} anew"
        )
    return found


def _lineage(values: Params, checkpoint: str) -> list[tuple[str, TrainingParams]]:
    """The phases behind a checkpoint, the first one first."""
    found: list[tuple[str, TrainingParams]] = []
    if checkpoint in values.average:
        checkpoint = f"{values.average[checkpoint].phase}/p100"
    while checkpoint != "base":
        phase = checkpoint.rpartition("/")[0]
        found.append((phase, values.train.phases[phase]))
        checkpoint = values.train.phases[phase].init
    if recipe := values.base.built.recipe:
        found.append(("base", recipe.pretrain))
    return found[::-1]


def _corpora(values: Params, phases: list[tuple[str, TrainingParams]]) -> list[CorpusFacts]:
    mixed = {corpus for _, phase in phases for corpus in phase.mix}
    sets = _json(METRICS / "split.json")
    return [
        CorpusFacts(
            name,
            licences.of_corpus(corpus),
            name in mixed,
            _json(QUALITY / f"{name}.json"),
            {set_: of[name] for set_, of in sets.items() if name in of},
        )
        for name, corpus in values.corpora.items()
    ]


def _scores(values: Params, name: str, checkpoint: str) -> list[Score]:
    """Of the checkpoint and of the export, with every prompt, as far as they were decoded."""
    found = []
    for model in (checkpoint, f"export/{name}"):
        for prompt in values.prompts:
            file = VARIANTS / f"{model}-{prompt}.json"
            if model in values.decode.checkpoints and file.is_file():
                scored = _json(file)
                found += [
                    Score(model, prompt, set_, scored[set_])
                    for set_ in TEST_SETS
                    if scored.get(set_, {}).get("cer") is not None
                ]
    return found


def told(family: str, prompt: Prompt) -> str:
    """A prompt, word for word."""
    if family != "fun_asr_nano":
        before = f"<|startofprev|> {'、'.join(prompt.hotwords)}" if prompt.hotwords else ""
        language = f"<|{prompt.language}|>" if prompt.language else "(the language it detects)"
        end = "" if prompt.timestamps else "<|notimestamps|>"
        return f"{before}<|startoftranscript|>{language}<|transcribe|>{end}"
    # It takes seconds to import.
    from galgame_asr.families.fun_asr_nano.funasr_parts import FunASRNano  # noqa: PLC0415

    words = list(prompt.hotwords)
    return str(FunASRNano.get_prompt(None, words, prompt.language, prompt.itn))


def _files(directory: Path) -> dict[str, int]:
    return {
        path.relative_to(directory).as_posix(): path.stat().st_size
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def _json(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExportError(f"{file} does not exist; `dvc repro` writes it") from None
    return found
