"""Stage corrections@CORPUS: what people decided about the labels of one corpus, alone.

A manifest depends on this and not on the folder, so that another corpus's decisions change
nothing for it; nor need there be a file.
"""

from collections.abc import Sequence

from galgame_asr.core.files import atomic_path
from galgame_asr.core.paths import DECISIONS
from galgame_asr.manifests import corrections
from galgame_asr.messages.console import log, run


def main(arguments: Sequence[str]) -> None:
    """Copy the decisions about the corpus named by the only argument."""
    (name,) = arguments
    path = corrections.path_of(name)
    if found := corrections.latest(corrections.read(path)):
        log.info("%s decides about %d utterances", path, len(found))
    with atomic_path(DECISIONS / f"{name}.tsv") as copy:
        # As it is, so that the numbers of its lines are those of messages.
        written = path.read_bytes() if path.is_file() else b""
        copy.write_bytes(written or f"{corrections.HEADER}\n".encode())


if __name__ == "__main__":
    run(main)
