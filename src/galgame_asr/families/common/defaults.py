"""galgame_asr.json in a model directory: how the model is used where nobody says otherwise."""

import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import Field

from galgame_asr.core.files import write_text
from galgame_asr.core.params import parse, section
from galgame_asr.families.common.params import Prompt
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import CheckpointError, ConfigError

FILE = "galgame_asr.json"
# No one says more: a text that goes on is a loop. Even the shortest utterance may have some.
MAX_TOKENS_PER_S, EXTRA_TOKENS = 25.0, 8


@section
class Defaults:
    """What commands take for a model; in the pipeline params.yaml alone says it."""

    # What it was trained with; the first is the one that is taken.
    prompts: Annotated[tuple[Prompt, ...], Field(min_length=1)]
    # The rest is as in section `decode`, and the family's own.
    max_tokens_per_s: Annotated[float, Field(gt=0)] = MAX_TOKENS_PER_S
    beams: Annotated[int, Field(ge=1)] = 1
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] = 0
    max_segment_s: Annotated[float, Field(ge=1)] = 30.0


def max_spoken_tokens(duration_s: float, per_s: float = MAX_TOKENS_PER_S) -> int:
    """Tokens that speech of a duration can have."""
    return math.ceil(duration_s * per_s) + EXTRA_TOKENS


def write(directory: Path, defaults: Defaults) -> None:
    """Write the file of a model directory."""
    values = asdict(defaults)
    for prompt in values["prompts"]:
        del prompt["glossary"]  # of utterances whose text is known, as a recording's is not
    text = json.dumps(values, ensure_ascii=False, indent=1)
    write_text(directory / FILE, f"{text}\n")


def read(directory: Path, otherwise: Defaults) -> Defaults:
    """Read the file of a model directory, or take the family's where there is none.

    Models of others have none, nor have those that earlier versions of this project saved.

    Raises:
        CheckpointError: the file is damaged, or says what it may not; the message names it.
    """
    file = directory / FILE
    if not file.is_file():
        log.info("%s has no %s: the defaults of its family are taken", directory, FILE)
        return otherwise
    try:
        return parse(Defaults, json.loads(file.read_bytes()), "", file=file)
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    except ValueError as error:  # of JSON, or of its encoding
        raise CheckpointError(f"{file} is no JSON: {error}") from None


def copy(source: Path, target: Path) -> None:
    """Give a model made of another the file of that one, if it has one."""
    if (source / FILE).is_file():
        shutil.copyfile(source / FILE, target / FILE)  # not the read-only mode of DVC's files
