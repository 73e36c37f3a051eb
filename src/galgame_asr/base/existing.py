"""Section `base.existing`: a model that is there, on a hub or on this machine."""

from galgame_asr.core.params import Revision, section


@section
class HubBase:
    """A published model at a pinned revision."""

    repo: str
    revision: Revision
    # A checkpoint of FunASR's trainer to take the tensors from, such as outputs/model.pt.best;
    # null takes those of the repository.
    weights: str | None = None


@section
class DirectoryBase:
    """A model directory on this machine, in the family's native layout."""

    path: str
    # As above; null takes those of the directory.
    weights: str | None = None


@section
class ExistingBase:
    """The model by its kind; none where it is built here."""

    hub: HubBase | None = None
    directory: DirectoryBase | None = None
