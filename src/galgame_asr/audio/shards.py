"""The shards of a corpus: a folder of tars, and a list that tells when one is missing."""

from pathlib import Path

from galgame_asr.errors import DataError
from galgame_asr.files import write_text
from galgame_asr.paths import HOW_TO_GET_SHARDS

LIST = "shards.tsv"  # name and size in bytes of every shard


def write_list(directory: Path) -> None:
    """List the shards of a complete corpus beside them."""
    lines = [f"{shard.name}\t{shard.stat().st_size}\n" for shard in sorted(directory.glob("*.tar"))]
    write_text(directory / LIST, "".join(lines))


def listed(directory: Path) -> list[Path]:
    """The shards of a corpus, sorted by name.

    Raises:
        DataError: there is no list, or a shard is missing, not listed, or of
            another size than the list says.
    """
    try:
        lines = (directory / LIST).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{directory / LIST} is missing; {HOW_TO_GET_SHARDS}") from None
    expected = {name: int(size) for name, size in (line.split("\t") for line in lines)}
    found = {shard.name: shard.stat().st_size for shard in directory.glob("*.tar")}
    if expected != found:
        wrong = [
            f"{name} has {found.get(name, 'no')} bytes instead of {expected.get(name, 'no')}"
            for name in sorted(expected | found)
            if expected.get(name) != found.get(name)
        ]
        raise DataError(
            f"{directory} does not hold the shards that {LIST} lists: {', '.join(wrong)}; "
            f"{HOW_TO_GET_SHARDS}"
        )
    if not expected:
        raise DataError(f"{directory} holds no .tar shard; {HOW_TO_GET_SHARDS}")
    return [directory / name for name in sorted(expected)]
