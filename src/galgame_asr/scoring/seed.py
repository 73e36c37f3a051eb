"""The text normalisation behind the published figures of Fun-ASR-Galgame: only to compare.

It is a script for Chinese, whisper_mix_normalize.py, which the funasr package carries
with two of its modules; nothing of it is written anew here, so everything is reproduced
with its faults: 120円 and 百二十円 stay different, 働く becomes 动く, "..." becomes 点, and
a second pass changes the text. What it does not end on in reasonable time it does not
here: a loop of 5000 digits takes minutes.

It needs the extra `seed`. One of its libraries, zhconv, is GPL-2.0 or later: nothing but
this function may import it.
"""

import contextlib
import importlib
import importlib.util
import io
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from galgame_asr.messages.errors import ConfigError


def seed_normalise(texts: Iterable[str]) -> list[str]:
    """Normalise raw texts as the seed did: characters and words with spaces between.

    Raises:
        ConfigError: the extra is not installed.
    """
    script = _script()
    with tempfile.TemporaryDirectory() as temporary:
        source, target = Path(temporary, "raw"), Path(temporary, "normalised")
        with source.open("w", encoding="utf-8") as lines:
            # All white space is alike to the script, but a line feed would end the text.
            lines.writelines(f"{i} {' '.join(text.split())}\n" for i, text in enumerate(texts))
        script.normalize_text(source, target)
        with target.open(encoding="utf-8", newline="\n") as lines:
            return [line.rstrip("\n").partition("\t")[2] for line in lines]


def _script() -> ModuleType:
    funasr = importlib.util.find_spec("funasr")  # finds it without its slow import
    if funasr is None or not funasr.submodule_search_locations:
        raise ConfigError("funasr is not installed: pip install .")
    tools = Path(funasr.submodule_search_locations[0], "models/fun_asr_nano/tools")
    try:
        with _first_on_path(tools), contextlib.redirect_stdout(io.StringIO()):
            return importlib.import_module("whisper_mix_normalize")
    except ImportError as error:
        raise ConfigError(
            f"the seed's normalisation needs {error.name}: pip install -c constraints.txt '.[seed]'"
        ) from None


@contextlib.contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
