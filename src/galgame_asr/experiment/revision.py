"""The revision that is here."""

from dataclasses import dataclass

from dvc.scm import SCM, Base, NoSCM, SCMError


@dataclass(frozen=True)
class State:
    """The revision of the workspace."""

    commit: str | None  # None: no git repository, or no commit in it
    # Nothing that git tracks differs from the commit.
    clean: bool


def state() -> State:
    """The revision of this repository."""
    try:
        return state_of(SCM("."))
    except SCMError:
        return State(None, clean=False)


def state_of(scm: Base) -> State:
    """The revision of a repository.

    Raises:
        SCMError: it has no commit.
    """
    if isinstance(scm, NoSCM):
        return State(None, clean=False)
    return State(scm.get_rev(), clean=not scm.is_dirty(untracked_files=False))
