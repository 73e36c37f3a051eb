"""A model directory outside of the pipeline, as stages decode and score would find it.

Their parts do the work, by the params that they read. What is written has the formats of
data/decoded, data/scored and metrics/variants: FOLDER/PROMPT.jsonl, .parquet and .json.
"""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from galgame_asr.core import utterances
from galgame_asr.core.files import atomic_directory, refuse_unwritable
from galgame_asr.core.params import PARAMS_FILE, hint, load, parse
from galgame_asr.core.paths import DEV_SAMPLE, MODELS, OUTPUTS, RAW, SETS, SPLIT, scratch_root
from galgame_asr.decoding import transcripts
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.decoding.transcribe import Task, transcribe_sets
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, MachineParams, Prompt, Prompts
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import CheckpointError, ConfigError, DataError
from galgame_asr.report import figures
from galgame_asr.report.collect import common, compared, of_summary, part_of
from galgame_asr.report.results import Results, Variant
from galgame_asr.runtimes import load as runtimes
from galgame_asr.scoring import groups, scored, variant
from galgame_asr.scoring.params import ScoreParams
from galgame_asr.scoring.utterances import check_ids
from galgame_asr.scoring.variant import Sets
from galgame_asr.scoring.words import Words, require_dictionary
from galgame_asr.splitting.params import SplitParams
from galgame_asr.splitting.split import limited
from galgame_asr.text.normalise import normalise
from galgame_asr.text.params import NormaliseParams

_, SCORED, _ = SUFFIXES = (".jsonl", ".parquet", ".json")

KNOWN = (*SETS, DEV_SAMPLE)


@dataclass(frozen=True)
class Judged:
    """What one prompt gives, by set."""

    parts: Sets  # of scored utterances
    summaries: Mapping[str, Mapping[str, Any]]


def evaluate(options: argparse.Namespace) -> str:
    """Decode and score a model directory and write the results; see the command's options.

    Returns:
        the figures, for people.

    Raises:
        CheckpointError: the directory is no model.
        ConfigError: params.yaml is not valid or has no such prompt; there is no such set; the
            output is taken; what to compare with has no such set, prompt or utterance.
        DataError: a set is missing or empty, or an utterance cannot be read.
    """
    directory, output, against = options.directory, options.output, options.against
    refuse_taken(output, force=options.force)
    params = load(ScoreParams, "score")
    require_dictionary(params.dictionary)
    prompts = _prompts(options.prompt)
    task = _task(directory, next(iter(prompts.values())), options.device)
    sets = dict(_sets(options.set, options.limit))
    earlier = {
        prompt: read_earlier(against, prompt, sets, params.normalise)
        for prompt in (prompts if against else ())
    }
    compute.set_up(task.compute)  # without the record of what the stages ran on
    log.info("%s: decoded and scored as %s says", directory, PARAMS_FILE)
    judged, words = dict[str, Judged](), Words()
    corpora = {corpus for rows in sets.values() for corpus in rows["corpus"]}
    grouping = groups.read(params.groups, corpora)
    with atomic_directory(output) as folder:
        for name, prompt in prompts.items():
            _family(directory)  # the end of a phase removes the folder of its unfinished work
            said, table, summary = (folder / f"{name}{suffix}" for suffix in SUFFIXES)
            transcripts.write(said, transcribe_sets(sets, replace(task, prompt=prompt)))
            parts = variant.score_file(said, sets, params, words, grouping)
            judged[name] = Judged(parts, variant.write(parts, table, summary))
    results = [_results(name, directory, judged, against, earlier) for name in sets]
    return figures.text(results)


def _task(directory: Path, prompt: Prompt, device: str | None) -> Task:
    """As in stage decode, on another device if one is named."""
    machine, params = load(MachineParams, "machine"), load(ComputeParams, "compute")
    if device:
        params = parse(ComputeParams, asdict(params) | {"device": device}, "compute")
    return Task(
        family=_family(directory),
        checkpoint=directory,
        raw=RAW,
        prompt=prompt,
        params=load(DecodeParams, "decode"),
        compute=params,
        batch_frames=machine.decode_batch_frames,
        processes=machine.processes,
    )


def _family(directory: Path) -> str:
    if not directory.is_dir():
        raise CheckpointError(
            f"{directory} is no directory (any more): {MODELS}/PHASE has the checkpoints of a "
            "phase that has ended, `galgame-asr scratch` lists those of one that has not"
        )
    return runtimes.detect(directory)


def _prompts(names: Sequence[str] | None) -> Prompts:
    """Those that are asked for, or all."""
    known = load(Prompts, "prompts")
    for name in names or ():
        if name not in known:
            raise ConfigError(f"{PARAMS_FILE} has no prompt '{name}'. {hint(name, list(known))}")
    return {name: known[name] for name in names or known}


def _sets(names: Sequence[str], limit: int | None) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each set that is asked for with its utterances; a file's set has the file's name."""
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit {limit}: at least 1 utterance is needed")
    files = [_file(name) for name in names]
    for number, file in enumerate(files):
        if file.stem in {other.stem for other in files[:number]}:
            raise ConfigError(f"two sets are named {file.stem}: evaluate them one after the other")
        rows = utterances.read(file)
        if rows.empty:
            raise DataError(f"{file} has no utterances: evaluate another set")
        ids = list(transcripts.keys(rows))
        check_ids(ids, ids)
        if limit is not None:
            salt = load(SplitParams, "split").salt
            rows = rows[limited(rows["id"], f"{salt} limit", limit)].reset_index(drop=True)
        yield file.stem, rows


def _file(name: str) -> Path:
    if name in KNOWN:
        file = SPLIT / f"{name}.parquet"
        made = "; `dvc repro split` makes it, `dvc checkout` brings it back"
    elif name.endswith(".parquet"):
        file, made = Path(name), ""
    else:
        raise ConfigError(f"no set '{name}'. {hint(name, list(KNOWN))}, or a parquet file")
    if not file.is_file():
        raise DataError(f"{file} is missing{made}")
    return file


def read_earlier(path: Path, prompt: str, sets: Sets, rules: NormaliseParams) -> Sets:
    """Earlier scores of sets, at least one utterance of each among these.

    Args:
        path: a folder with PROMPT.parquet, or the beginning of PATH-PROMPT.parquet.
        prompt: its name.
        sets: the utterances that will be scored.
        rules: how their references will be normalised.

    Raises:
        ConfigError: there are none of this prompt, of a set, or of the same references.
        DataError: the table is damaged.
    """
    start = f"{path}/" if path.is_dir() else f"{path}-"
    file = Path(f"{start}{prompt}{SCORED}")
    if not file.is_file():
        others = sorted(f.stem for f in file.parent.glob(f"*{SCORED}") if str(f).startswith(start))
        raise ConfigError(
            f"--against {path} has no {file}: name the --output of an earlier evaluation or "
            "data/scored/CHECKPOINT, and with --prompt one that it has "
            f"({', '.join(others) or 'it has none'})"
        )
    table = scored.read(file)
    found = {}
    for name, rows in sets.items():
        found[name] = part_of(table, name)
        if found[name].empty:
            known = " ".join(sorted(table["set"].unique()))
            raise ConfigError(f"{file} has no set {name}: compare with --set {known}")
        here = pd.DataFrame(
            {
                "id": transcripts.keys(rows),
                "truth": [normalise(text, rules) for text in rows["text"]],
            }
        )
        if common(here, found[name])[0].empty:
            raise ConfigError(
                f"{file} has none of these {len(rows)} utterances of set {name} with the same "
                "reference: evaluate both models on the same set and --limit"
            )
    return found


def refuse_taken(output: Path, *, force: bool) -> None:
    """Refuse a folder that must not be written, before the work that it is for.

    Raises:
        ConfigError: it is there and not `force`, or is no earlier evaluation; it belongs to a
            stage, or cannot be written.
    """
    whole = output.resolve()
    for folder in (*OUTPUTS, scratch_root()):
        if whole.is_relative_to(folder.resolve()):
            raise ConfigError(f"{output} is in {folder}, which is the stages': name another folder")
    if not os.path.lexists(output):  # also of a name that is too long
        refuse_unwritable(output)
    elif not force:
        raise ConfigError(f"{output} is there already; --force replaces it, or name another folder")
    elif output.is_symlink() or not _is_evaluation(output):
        raise ConfigError(
            f"{output} holds more than an evaluation, which is all that --force replaces: name "
            "another folder"
        )


def _is_evaluation(folder: Path) -> bool:
    """Whether there are the three files of each prompt, and nothing else."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    stems = {Path(name).stem for name in names}
    return names == {f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES}


def _results(
    name: str,
    directory: Path,
    judged: Mapping[str, Judged],
    against: Path | None,
    earlier: Mapping[str, Sets],
) -> Results:
    """What the report would show of one set."""
    variants = {Variant(str(directory), prompt): found for prompt, found in judged.items()}
    everything = [of_summary(v, found.summaries[name]) for v, found in variants.items()]
    comparisons = {
        own: compared(
            own,
            Variant(str(against), own.prompt),
            *common(found.parts[name], earlier[own.prompt][name]),
        )
        for own, found in variants.items()
        if against
    }
    first = everything[0]
    return Results(
        name, first.utterances, first.characters, everything, comparisons, [], [], [], {}
    )
