"""params.yaml as frozen dataclasses, one module per section; an unknown key is an error.

A stage loads only the sections it uses, so that a new key in one section is no
change to the code of every other stage. YAML is read as version 1.2, because
`dvc exp run -S lr=3e-5` writes `3e-05`, which YAML 1.1 takes for a string.
"""

import dataclasses
import difflib
import importlib
import json
import types
import typing
import unicodedata
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

import pydantic
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from typing_extensions import TypeForm

from galgame_asr.core.paths import OUTPUTS
from galgame_asr.messages.errors import ConfigError

PARAMS_FILE = Path("params.yaml")
# Of a repository: the 40-hex commit, never a branch, which can change under the same name.
Revision = Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{40}$")]
# Maps by name, whose names become part of stages' names, paths, dotted keys and commands.
NAMED = ("corpora", "train.phases", "average", "export", "baselines", "prompts")
# In UTF-8: CHECKPOINT-PROMPT.parquet fits into the 255 of a file's name, also with the 27 that DVC
# adds while it copies.
LONGEST_NAME_BYTES = 100
CHECKPOINTS = "decode.checkpoints"  # of several names: full/p100, export/NAME
T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def section(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass that refuses unknown keys and values of another type."""
    config = pydantic.ConfigDict(extra="forbid", strict=True)
    decorate = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=config)
    return cast("type[T]", decorate(cls))


def read_params(file: Path = PARAMS_FILE) -> Any:
    """Read a whole params file as plain values.

    Raises:
        ConfigError: as for `read_yaml` and `refuse_names`.
    """
    values = read_yaml(file)
    refuse_names(values, file)
    return values


def refuse_names(values: Any, file: Path = PARAMS_FILE) -> None:
    """Refuse names that cannot be part of a stage's name, a path, a dotted key and a command.

    Raises:
        ConfigError: a corpus, phase, average, export, baseline, prompt or checkpoint has one.
    """
    for key in (*NAMED, *_baseline_prompts(values), CHECKPOINTS):
        found = _below(values, key)
        for name in found if isinstance(found, list if key == CHECKPOINTS else dict) else ():
            parts = str(name).split("/") if key == CHECKPOINTS else [name]
            if not all(map(_is_name, parts)):
                raise ConfigError(
                    f"{file}: {key} has the name {name!r}; allowed are letters of any script, "
                    "digits, _ and -, the first of them no -, a number in quotes, up to "
                    f"{LONGEST_NAME_BYTES} bytes"
                )


def _baseline_prompts(values: Any) -> list[str]:
    """The maps of prompts that baselines have for themselves."""
    baselines = _below(values, "baselines")
    names = baselines if isinstance(baselines, dict) else {}
    return [f"baselines.{name}.prompts" for name in names if _is_name(name)]


def _below(values: Any, key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _is_name(name: Any) -> bool:
    """Letters, with their marks (か, U+3099 is が), digits, _ and -; no - or mark is the first."""
    if not isinstance(name, str) or not name:
        return False
    known = [c in "_-" or unicodedata.category(c)[0] in "LMN" for c in name]
    first_is_one = name[0] != "-" and unicodedata.category(name[0])[0] != "M"
    return all(known) and first_is_one and len(name.encode()) <= LONGEST_NAME_BYTES


def load(kind: TypeForm[T], key: str, *, file: Path = PARAMS_FILE) -> T:
    """Read the value at the dotted `key` of a params file as `kind`.

    Raises:
        ConfigError: the file cannot be read, the key is missing, a key is
            unknown (the message names the nearest valid one) or a value is not
            of the declared type or range; a name is not allowed, or a folder of outputs is a
            link.
    """
    value: Any = read_params(file)
    refuse_links()
    passed: list[str] = []
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value:
            where = f"section {'.'.join(passed)}" if passed else "top level"
            known = list(value) if isinstance(value, dict) else []
            raise ConfigError(f"{file}: {where} has no key '{name}'. {hint(name, known)}")
        value = value[name]
        passed.append(name)
    return parse(kind, value, key, file=file)


def refuse_links() -> None:
    """Refuse a folder of outputs that is a link: DVC would, once the stage has run.

    Raises:
        ConfigError: one is.
    """
    for folder in OUTPUTS:
        for path in (*reversed(folder.parents), folder):
            if path.is_symlink():
                raise ConfigError(
                    f"{path} is a link, and DVC takes no outputs behind one. Make it a folder, and "
                    "put DVC's cache on the other disk: `dvc cache dir --local /big/disk/cache`"
                )


def entry(package: str, key: str, tag: str, *, file: Path = PARAMS_FILE) -> Any:
    """Read the value at the dotted `key` as what the plug-in that its key `tag` names takes.

    That is `Entry` of PACKAGE.NAME.params. So a stage loads, and depends on, one plug-in alone.

    Raises:
        ConfigError: as for `load`; of a name that is none, with the allowed ones.
    """
    value = load(dict[str, Any], key, file=file)
    # Of a name that is none, all of them say which there are.
    known = value.get(tag) in plug_ins(package)
    module = f"{package}.{value[tag]}.params" if known else f"{package}.params"
    return parse(importlib.import_module(module).Entry, value, key, file=file)


def plug_ins(package: str) -> list[str]:
    """The names of a package's plug-ins, which are those of its folders."""
    (folder,) = importlib.import_module(package).__path__
    names = sorted(path.parent.name for path in Path(folder).glob("*/params.py"))
    return [name for name in names if name != "common"]


def parse(kind: TypeForm[T], value: Any, key: str, *, file: Path = PARAMS_FILE) -> T:
    """Turn a plain value (as YAML gives it) into `kind`; `key` and `file` are for messages.

    Raises:
        ConfigError: as for `load`.
    """
    try:
        # In JSON mode strict validation still takes a list for a tuple.
        text = json.dumps(value, ensure_ascii=False)
        return pydantic.TypeAdapter(kind).validate_json(text)
    except pydantic.ValidationError as invalid:
        lines = [f"{file}: {_describe(kind, key, error)}" for error in invalid.errors()]
        # The unknown key first: what else is wrong often follows from it.
        lines.sort(key=lambda line: "unknown key" not in line)
        raise ConfigError("\n".join(lines)) from None
    except ConfigError as error:  # of a check across sections
        raise ConfigError(f"{file}: {error}") from None
    except (TypeError, ValueError, RecursionError) as error:  # no JSON: dates, half of a character
        raise ConfigError(f"{file}: {key}: {error}") from None


def read_yaml(file: Path, yaml: YAML | None = None) -> Any:
    """Read a YAML 1.2 file, as plain values if no other `yaml` is given.

    Raises:
        ConfigError: the file is missing or is not YAML.
    """
    try:
        return (yaml or YAML(typ="safe")).load(file)
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist; run from the repository root") from None
    except (YAMLError, RecursionError) as error:
        raise ConfigError(f"{file} is not valid YAML: {error}") from None


def hint(name: str, known: list[str]) -> str:
    """Name the allowed keys, the one most like `name` first."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"Did you mean '{near[0]}'? " if near else ""
    return f"{guess}Allowed: {', '.join(known) or 'nothing'}"


def _describe(kind: Any, key: str, error: ErrorDetails) -> str:
    *parents, last = error["loc"] or ("",)
    names, innermost = _follow(kind, parents)
    full = ".".join(filter(None, [key, *names, str(last)]))
    if error["type"] == "unexpected_keyword_argument":
        known = [field.name for field in dataclasses.fields(innermost)]
        return f"unknown key {full}. {hint(str(last), known)}"
    if error["type"] in {"missing", "missing_argument", "missing_keyword_only_argument"}:
        return f"key {full} is missing"
    message = error["msg"].removeprefix("Value error, ")
    return f"{full} is {error['input']!r}: {message}"


def _follow(kind: Any, location: list[int | str]) -> tuple[list[str], Any]:
    """Walk from a type along pydantic's error location.

    Returns the keys as the user wrote them (a discriminated union adds its tag
    to the location, the file has no such level) and the type they lead to.
    """
    names = []
    for part in location:
        kind = _plain(kind)
        arguments = typing.get_args(kind)
        if isinstance(kind, types.UnionType):
            kind = next(option for option in arguments if part in _tags(option))
            continue
        names.append(str(part))
        if dataclasses.is_dataclass(kind):
            kind = typing.get_type_hints(kind, include_extras=True).get(str(part))
        else:  # a map's values or a list's items
            kind = arguments[-1 if typing.get_origin(kind) is dict else 0]
    return names, _plain(kind)


def _plain(kind: Any) -> Any:
    """A type without its annotations, and without the None that it may be instead."""
    if typing.get_origin(kind) is Annotated:
        return _plain(typing.get_args(kind)[0])
    if isinstance(kind, types.UnionType):
        options = [option for option in typing.get_args(kind) if option is not types.NoneType]
        return _plain(options[0]) if len(options) == 1 else kind
    return kind


def _tags(option: Any) -> tuple[Any, ...]:
    """Values of the first field, such as `kind`, that select a dataclass in a union."""
    return typing.get_args(typing.get_type_hints(option)[dataclasses.fields(option)[0].name])
