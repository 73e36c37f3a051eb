"""A rehearsal of a run: all its stages and sizes, on a few rendered utterances."""

import re
from dataclasses import dataclass
from typing import Any

import torch

from galgame_asr.base.existing import PUBLISHED
from galgame_asr.downloads import hub
from galgame_asr.experiment import curriculum
from galgame_asr.messages.errors import ConfigError
from galgame_asr.runtimes import load as runtimes


@dataclass(frozen=True)
class Size:
    """How small a rehearsal is."""

    utterances: int  # of each corpus
    batch_frames: int  # in a step: a phase on one corpus has four or five
    test_limit: int
    dev_sample: int


SMALL = Size(utterances=40, batch_frames=1200, test_limit=4, dev_sample=2)
# On a CPU, of a model that pads all speech to its window: a step of one utterance of Whisper
# large-v3-turbo takes two minutes on two cores.
WINDOWED = Size(utterances=12, batch_frames=300, test_limit=1, dev_sample=1)
# At once on a CPU: of Whisper one utterance, which needs 5 GB.
MICRO_BATCH_FRAMES = 3000
SPLIT = {"dev": 0.1, "test": 0.1, "exceptions": {}, "hold_out": [], "min_test": 1}
VERIFIED = 4  # utterances of an export, at most
DEV_CER_UTTERANCES = 1
BY_STEP = re.compile(r"/s\d+$")


def rehearse(values: dict[str, Any]) -> str:
    """Turn params into those of their rehearsal, in place; says what stands for what.

    Each corpus becomes a few rendered utterances under its name, of which each phase learns for
    some steps. Stages, model, phases, precision and exports stay, baselines go. Where the hub of
    the model does not answer, its place is taken by one of its size with random weights.

    Args:
        values: of a whole params.yaml, as plain maps and lists.

    Raises:
        ConfigError: the hub does not answer, and nothing here tells the model's size.
    """
    on_gpu = torch.cuda.is_available()
    windowed = not on_gpu and runtimes.window_s(values["model"]["family"])
    size = WINDOWED if windowed else SMALL
    outside = values["split"]["out_of_domain"]
    for number, (name, corpus) in enumerate(values["corpora"].items(), start=1):
        values["corpora"][name] = {
            "kind": "synthetic",
            "recipe": _recipe(corpus, is_outside=name in outside),
            "utterances": size.utterances,
            "seed": number,
            "shard_size": 256,
        }
    values["manifest"] |= {"charset": {}, "clean": {}}
    values["split"] |= SPLIT | {"test_limit": size.test_limit, "dev_sample": size.dev_sample}
    values["score"] |= {"groups": {}, "names": []}  # rendered utterances have other ids
    # A GPU finds out itself how much has room.
    if not on_gpu and values["machine"]["micro_batch_frames"] == "auto":
        values["machine"]["micro_batch_frames"] = MICRO_BATCH_FRAMES
    values["baselines"] = {}  # they are not this run's, and their texts are of other audio
    _shorten(values, size)
    model = _stand_in(values["base"]["existing"])
    return f"{size.utterances} rendered utterances each as {', '.join(values['corpora'])}; {model}"


def _recipe(corpus: dict[str, Any], *, is_outside: bool) -> str:
    """What stands for a corpus."""
    if curriculum.is_without_speech(corpus):
        return "noise"
    return "reading" if is_outside else "vn"


def _shorten(values: dict[str, Any], size: Size) -> None:
    """Few steps, and few utterances wherever some are decoded."""
    common = values["train"]["common"]
    common["log_steps"] = 1
    common["batch_frames"] = min(common["batch_frames"], size.batch_frames)
    common["dev_cer_utterances"] = min(common["dev_cer_utterances"], DEV_CER_UTTERANCES)
    for recipe in values["base"]["built"].values():
        recipe["pretrain"]["epochs"] = 1
    for phase in values["train"]["phases"].values():
        phase |= {"epochs": 1, "every_steps": None, "init": _by_percent(phase["init"])}
    decoded = map(_by_percent, values["decode"]["checkpoints"])
    values["decode"]["checkpoints"] = list(dict.fromkeys(decoded))
    audited = map(_by_percent, values["audit"]["checkpoints"])
    values["audit"]["checkpoints"] = list(dict.fromkeys(audited))
    for export in values["export"].values():
        export["checkpoint"] = _by_percent(export["checkpoint"])
        export["verify"]["utterances"] = min(export["verify"]["utterances"], VERIFIED)


def _by_percent(checkpoint: str) -> str:
    """No phase lasts until step N; its end stands for what was saved there."""
    return BY_STEP.sub("/p100", checkpoint)


def _stand_in(existing: dict[str, Any]) -> str:
    """Put a random model in the place of one whose hub does not answer."""
    base = existing.get("hub")
    if not base:
        return "the model as it is"
    repo, source = base["repo"], base.get("source", "huggingface")
    if hub.answers(source):
        return f"{repo} as published"
    if repo not in PUBLISHED:
        raise ConfigError(
            f"base.existing.hub: the hub of {repo} cannot be reached, and a rehearsal knows only "
            f"the sizes of {' and '.join(PUBLISHED)}; name a base.existing.directory instead"
        )
    existing.clear()
    existing["published_random"] = {"repo": repo, "source": source, "seed": 0}
    return f"{repo}'s size with random weights, as its hub cannot be reached"
