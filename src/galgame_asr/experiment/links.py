"""How DVC may link outputs to its cache on this disk: python -m galgame_asr.experiment.links.

`make` runs it before the first dvc command. Where cache.type names a kind of link that does
not work (reflinks on ext4), or copies beside links, DVC is content with an output that is a
copy of what its cache has, and everything is on the disk twice.
"""

from collections.abc import Sequence
from pathlib import Path

from dvc.repo import Repo
from dvc_objects.fs.generic import test_links

from galgame_asr.core.files import write_text
from galgame_asr.messages.console import log, run

KINDS = ["reflink", "hardlink", "symlink"]  # in the order of preference
NOTE = "links"  # in .dvc/tmp: what was written, to tell it from what a user chose


def main(_arguments: Sequence[str] = ()) -> None:
    """Try every kind of link between cache and workspace, and write cache.type to config.local.

    A type there that the user chose stays.
    """
    with Repo(".") as repo:
        cache = repo.cache.local
        note = Path(repo.tmp_dir) / NOTE
        written = note.read_text(encoding="utf-8") if note.exists() else None
        there = repo.config.read("local")["cache"].get("type")
        if there not in (None, written):
            write_text(note, "")
            log.info("DVC's outputs: %s, as .dvc/config.local says", there)
            return
        found = test_links(KINDS, cache.fs, cache.path, repo.fs, str(Path(repo.root_dir) / NOTE))
        kinds = ",".join(map(str, found)) or "copy"
        with repo.config.edit("local") as config:
            config["cache"]["type"] = kinds
        write_text(note, kinds)  # after config.local, for make goes by the times
        best = found[0] if found else "copy"
        log.info("DVC's outputs: %s, the best of what works between here and %s", best, cache.path)


if __name__ == "__main__":
    run(main)
