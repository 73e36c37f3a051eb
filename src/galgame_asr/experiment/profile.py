"""Profiles: files in profiles/ that write the values of a real run over params.yaml."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, CommentToken
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark

from galgame_asr.core import params
from galgame_asr.core.files import write_text
from galgame_asr.experiment.params import Params
from galgame_asr.messages.errors import ConfigError

PROFILES = Path("profiles")
# Maps whose keys are names that the user gave: a profile replaces them whole, or what it
# does not name would stay in the run. So does a choice between kinds of base model.
REPLACED = {
    "manifest.charset", "manifest.clean", "manifest.exceptions", "split.exceptions",
    "score.groups", "score.names", "corpora", "base", "train.phases", "average", "export",
    "baselines", "audit.corpora", "prompts",
}  # fmt: skip


def apply(
    names: Sequence[str],
    file: Path = params.PARAMS_FILE,
    directory: Path = PROFILES,
    *,
    change: Callable[[Any], object] = lambda _: None,
) -> list[str]:
    """Write profiles over a params file, one after the other, keeping comments.

    Args:
        names: of profiles.
        file: the params file.
        directory: of the profiles.
        change: changes the result in place before it is written.

    Returns:
        the keys that the profiles set.

    Raises:
        ConfigError: there is no such profile, it has a key that params do not
            have, or the result is not valid. The params file is then unchanged.
    """
    yaml = _round_trip()
    whole, source = _read_map(file, yaml), file
    keys: list[str] = []
    for name in names:
        source = directory / f"{name}.yaml"
        if not source.is_file():
            known = ", ".join(sorted(path.stem for path in directory.glob("*.yaml"))) or "none"
            raise ConfigError(f"there is no profile '{name}'; profiles: {known}")
        keys += _overlay(whole, _read_map(source, yaml), "", source)
    change(whole)
    buffer = io.StringIO()
    yaml.dump(whole, buffer)
    text = buffer.getvalue()
    values = YAML(typ="safe").load(text)
    params.refuse_names(values, source)
    params.parse(Params, values, "", file=source)
    write_text(file, text)
    return list(dict.fromkeys(keys))


def _read_map(file: Path, yaml: YAML) -> Any:
    if not isinstance(params.read_yaml(file), dict):  # as plain values, without Python's own
        raise ConfigError(f"{file} is no map of sections; see params.yaml as it is committed")
    return params.read_yaml(file, yaml)


def _overlay(target: Any, overlay: Any, path: str, source: Path) -> list[str]:
    keys = []
    for name, value in overlay.items():
        key = f"{path}.{name}".lstrip(".")
        if name not in target:
            raise ConfigError(
                f"{source}: unknown key {key}. {params.hint(str(name), list(target))}"
            )
        if isinstance(value, dict) and isinstance(target[name], dict) and key not in REPLACED:
            keys += _overlay(target[name], value, key, source)
        else:
            below = _take_comment_below(target, name)
            target[name] = value
            _put_comment_below(target, name, below)
            keys.append(key)
    return keys


def _round_trip() -> YAML:
    yaml = YAML()  # keeps comments and order
    yaml.width = 1000
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


# ruamel hangs a comment on the last scalar before it, so that the heading of the next
# section belongs to the value that is replaced.


def _last(container: Any, key: Any) -> tuple[Any, Any]:
    """The container and key of the last scalar below `container[key]`."""
    value = container[key]
    if isinstance(value, CommentedMap) and value and not value.fa.flow_style():
        return _last(value, next(reversed(value)))
    if isinstance(value, CommentedSeq) and value and not value.fa.flow_style():
        return _last(value, len(value) - 1)
    return container, key


def _slot(container: Any) -> int:
    return 0 if isinstance(container, CommentedSeq) else 2


def _take_comment_below(container: Any, key: Any) -> str:
    """Text of the comment lines that follow `container[key]`, from the next line on."""
    owner, last = _last(container, key)
    tokens = owner.ca.items.get(last)
    token = tokens[_slot(owner)] if tokens else None
    return token.value.partition("\n")[2] if token else ""


def _put_comment_below(container: Any, key: Any, text: str) -> None:
    """Let comment lines follow `container[key]`, after what its own comment says."""
    if not text:
        return
    owner, last = _last(container, key)
    tokens = owner.ca.items.setdefault(last, [None] * 4)
    own = tokens[_slot(owner)].value.partition("\n")[0] if tokens[_slot(owner)] else ""
    tokens[_slot(owner)] = CommentToken(f"{own}\n{text}", CommentMark(0), None)
