"""What the stages export and verify read, without the pipeline before them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from galgame_asr.core import utterances
from galgame_asr.core.params import parse, read_yaml
from galgame_asr.experiment.params import Params
from galgame_asr.families.common import defaults
from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.params import Prompt
from galgame_asr.stages import verify
from tests.conftest import REPOSITORY
from tests.phases import write_rows

GATE = {"utterances": 8, "prompt": "japanese", "min_equal": 1.0, "max_cer_rise": 0.0}


def write_repository(
    root: Path,
    checkpoint: Path,
    exports: Mapping[str, Mapping[str, Any]],
    *,
    max_new_tokens: int,
    language: str = "日文",
    decoded: bool = True,
) -> Path:
    """Write ten utterances as test set, a checkpoint as base, and params that name exports of it.

    Args:
        root: an empty folder.
        checkpoint: a model directory.
        exports: entries of section `export`; what they leave out is float32, of the base, with
            `GATE`, whose values an entry's `verify` adds to.
        max_new_tokens: of the search.
        language: of the only prompt, `japanese`.
        decoded: whether decode.checkpoints names the exports.
    """
    values = read_yaml(REPOSITORY / "params.yaml")
    values["export"] = {
        name: {"checkpoint": "base", "precision": "float32"}
        | dict(entry)
        | {"verify": GATE | entry.get("verify", {})}
        for name, entry in exports.items()
    }
    values["prompts"] = {"japanese": {"language": language}}
    named = [f"export/{name}" for name in exports if decoded]
    values["decode"] |= {"checkpoints": ["base", *named], "max_new_tokens": max_new_tokens}
    values["compute"] |= {"reproducible": False}  # which would change this process
    parse(Params, values, "")
    YAML().dump(values, root / "params.yaml")
    rows = write_rows(root / "data" / "raw")
    rows["audio_hash"] = [f"{7 * number % 10}" for number in range(10)]
    for name, part in (("dev_sample", rows[:0]), ("test", rows), ("ood", rows[:0])):
        utterances.write(root / "data" / "split" / f"{name}.parquet", part)
    base = shutil.copytree(checkpoint, root / "models" / "base")
    defaults.write(base, Defaults(prompts=(Prompt(language=language, hotwords=("葵",)),)))
    return root


def verified(root: Path, name: str) -> dict[str, Any]:
    """What stage verify wrote about an export; it runs here."""
    verify.main([name])
    found: dict[str, Any] = json.loads((root / "metrics" / "verify" / f"{name}.json").read_text())
    return found


def assert_used_alike(root: Path, name: str) -> None:
    """An export has what its checkpoint says of its own use."""
    base, export = (root / "models" / model / defaults.FILE for model in ("base", f"export/{name}"))
    assert export.read_bytes() == base.read_bytes()
