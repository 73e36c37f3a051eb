"""What the files of a model would make a library fetch or run, refused by name.

A model is its tensors and what describes them. FunASR and transformers also take
instructions from the describing files: other models to download, Python to import.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from galgame_asr.messages.errors import CheckpointError

# What a trainer leaves at the top of config.yaml, and only `funasr.AutoModel` obeys.
OF_A_TRAINER = ("remote_code", "trust_remote_code")
DESCRIBING = ("*.yaml", "*.yml", "*.json")


def refuse(values: Any, file: Path, *, ignored: Collection[str] = ()) -> None:
    """Refuse the content of a describing file that has more fetched or run.

    Args:
        values: as it was read.
        file: that it is from, for the message.
        ignored: dotted keys that nobody obeys here.

    Raises:
        CheckpointError: it does; the message names file, key and value.
    """
    for key, value in _instructions(values):
        dotted = ".".join(key)
        if dotted not in ignored and (why := _effect(key, value)):
            raise CheckpointError(
                f"{file}: {dotted} is {value!r}, by which {why}; allowed is a model whose "
                "tensors and description are all there is: take the key out, and give what it "
                "names as files of the model"
            )


def refuse_directory(directory: Path) -> None:
    """Refuse a downloaded model any of whose describing files has more fetched or run.

    Raises:
        CheckpointError: as for `refuse`, or a file is damaged.
    """
    for file in sorted(path for pattern in DESCRIBING for path in directory.rglob(pattern)):
        read = json.loads if file.suffix == ".json" else YAML(typ="safe").load
        try:
            values = read(file.read_bytes())
        except (YAMLError, ValueError) as error:
            raise CheckpointError(f"{file} cannot be read: {error}") from None
        refuse(values, file)


def _instructions(values: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All keys of nested maps and lists, with their values."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield (*key, str(name)), value
            yield from _instructions(value, (*key, str(name)))
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from _instructions(value, (*key, str(number)))


def _effect(key: tuple[str, ...], value: Any) -> str | None:
    """What a key has a library do; None: nothing."""
    if not value:
        return None
    match key[-1]:
        case "hub":
            # As published, and of no effect: files of the language model lie in its directory.
            published = key == ("llm_conf", "hub") and value == "hf"
            return None if published else "FunASR fetches another model from a hub"
        case "remote_code" | "trust_remote_code":
            return "Python that came with the model is run"
        case "auto_map":
            return "transformers runs Python that came with the model"
        case "attn_implementation" | "_attn_implementation" if "/" in str(value):
            return "transformers fetches a kernel from the hub, and runs it"
    return None
