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
# What a library does by a key, whatever it stands in. The keys of FunASR are those of 1.4.16.
_PYTHON = "Python that came with the model is run"
_KERNEL = "transformers fetches a kernel from the hub, and runs it"
_BESIDE = "FunASR fetches another model, and runs it beside this one"
_SERVER = "FunASR sends the speech to a server"
EFFECTS = {
    "hub": "FunASR fetches another model from a hub",
    "remote_code": _PYTHON,
    "trust_remote_code": _PYTHON,
    "auto_map": "transformers runs Python that came with the model",
    "custom_generate": "transformers runs Python from the hub",
    "attn_implementation": _KERNEL,
    "_attn_implementation": _KERNEL,
    "vad_model": _BESIDE,
    "punc_model": _BESIDE,
    "spk_model": _BESIDE,
    "forced_aligner": _BESIDE,
    "feature_encoder_spec": "FunASR runs the value as Python",
    "hotword": "FunASR fetches a list",
    "vllm_base_url": _SERVER,
    "sglang_base_url": _SERVER,
}
# Where AutoModel takes its own arguments from: the top of config.yaml, and what
# configuration.json has for it.
OF_AUTO_MODEL = ((), ("file_path_metas",))


def refuse(values: Any, file: Path, *, ignored: Collection[str] = ()) -> None:
    """Refuse the content of a describing file that has more fetched or run.

    Args:
        values: as it was read.
        file: that it is from, for the message.
        ignored: dotted keys that nobody obeys here.

    Raises:
        CheckpointError: it does; the message names file, key and value.
    """
    for key, value in entries(values):
        dotted = ".".join(key)
        why = EFFECTS.get(key[-1])
        if value and why and dotted not in ignored and _is_obeyed(key, value):
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
        refuse(_read(file), file)


def refuse_elsewhere(key: str, named: Any, directory: Path) -> None:
    """Refuse a directory that transformers would look for on the hub, and Python that it has.

    Args:
        key: dotted, of config.yaml.
        named: its value: of a language model, or a tokenizer.
        directory: of the model, for the message.

    Raises:
        CheckpointError: it is not here, or a describing file in it is damaged or refused.
    """
    if not named or not Path(named).is_dir():
        raise CheckpointError(
            f"{directory}/config.yaml: {key} is {named!r}, which is no directory here, and nothing "
            "is fetched for a model; copy its files beside config.yaml, and name them in "
            f"configuration.json: file_path_metas.{key}"
        )
    for file in sorted(Path(named).glob("*config.json")):
        refuse(_read(file), file)


def entries(values: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All keys of nested maps and lists, with their values."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield (*key, str(name)), value
            yield from entries(value, (*key, str(name)))
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from entries(value, (*key, str(number)))


def _read(file: Path) -> Any:
    read = json.loads if file.suffix == ".json" else YAML(typ="safe").load
    try:
        return read(file.read_bytes())
    except (YAMLError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from None


def _is_obeyed(key: tuple[str, ...], value: Any) -> bool:
    """Whether a key of `EFFECTS` has its effect here, and with this value."""
    match key[-1]:
        case "hub":
            # As published, and of no effect: files of the language model lie in its directory.
            return (key, value) != (("llm_conf", "hub"), "hf")
        case "attn_implementation" | "_attn_implementation":
            return "/" in str(value)
        case "vad_model" | "punc_model" | "spk_model":
            return key[:-1] in OF_AUTO_MODEL
        case "hotword":
            return "://" in str(value)
    return True
