"""From an export to a model repository: what would be uploaded, and the upload, in one commit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, ModelCard
from huggingface_hub.utils.tqdm import disable_progress_bars

from galgame_asr.core.files import atomic_directory, write_text
from galgame_asr.core.paths import EXPORTS, MODELS, scratch_root
from galgame_asr.formats.capswriter.params import CapsWriterExport
from galgame_asr.formats.gguf.params import GgufExport
from galgame_asr.messages.errors import ConfigError, ExportError
from galgame_asr.publishing import card, facts, licences
from galgame_asr.publishing.facts import Facts
from galgame_asr.publishing.licences import Licence

CARD, TERMS = "README.md", "TERMS.md"


@dataclass(frozen=True)
class Publication:
    """What is to be uploaded, and where to."""

    name: str  # of the export
    repo: str
    private: bool
    licence: Licence
    # Name in the repository -> file here.
    files: Mapping[str, Path]
    card: Path
    commit: str | None
    warnings: list[str]

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by name in the repository."""
        return {name: path.stat().st_size for name, path in self.files.items()}


def prepare(
    name: str,
    repo: str,
    *,
    private: bool,
    licence: str | None = None,
    base_licence: str | None = None,
) -> Publication:
    """Write the card of an export, below .scratch; upload nothing.

    Args:
        name: of the export in params.
        repo: USER/MODEL on the hub.
        private: only its owner can read the repository.
        licence: of the model, where the terms of its corpora do not decide.
        base_licence: of the published model that it comes from; its own card tells, if it
            was downloaded.

    Raises:
        ConfigError: the licence cannot be known or cannot be; the repository's name is none.
        ExportError: the export was not verified, or not as it stands, or failed its gate.
    """
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise ConfigError(f"--repo {repo} is no USER/MODEL")
    found = facts.gather(name)
    decided = licences.decide(found.trained_on, built_here=found.built_here, given=licence)
    base_licence = _base_licence(found, base_licence)
    directory = scratch_root() / "publish" / name
    with atomic_directory(directory) as temporary:
        write_text(temporary / CARD, card.render(found, repo, decided, base_licence))
        write_text(temporary / TERMS, card.terms(found, decided, base_licence))
    warnings = licences.warnings(found.trained_on, private=private)
    if not found.provenance.clean:
        warnings.append(
            "files that git tracks differ from the commit that the card names; commit first"
        )
    if isinstance(found.export, GgufExport | CapsWriterExport):
        warnings.append("verified with this project's reading of the files, not with the runtime")
    return Publication(
        name,
        repo,
        private,
        decided,
        {name_: EXPORTS / name / name_ for name_ in found.files}
        | {file: directory / file for file in (CARD, TERMS)},
        directory / CARD,
        found.provenance.commit,
        warnings,
    )


def push(publication: Publication) -> str:
    """Make the repository if it is not there, and upload everything in one commit.

    Large files go in parts, as the hub asks for them. HF_TOKEN or `hf auth login` says who
    uploads.

    Returns:
        The address of the commit.

    Raises:
        ConfigError: the repository is there, and public where it should be private.
        ExportError: the hub refused, or cannot be reached. No file is then in the repository.
    """
    api = HfApi()
    repo, private = publication.repo, publication.private
    commit = (publication.commit or "no commit")[:12]
    disable_progress_bars()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        is_private = bool(api.model_info(repo).private)
        if is_private != private:
            kinds = {True: "private", False: "public"}
            raise ConfigError(
                f"{repo} is there and {kinds[is_private]}, not {kinds[private]}; change that in "
                f"its settings, or publish with --{kinds[is_private]}"
            )
        done = api.create_commit(
            repo,
            operations=[
                CommitOperationAdd(name, str(path)) for name, path in publication.files.items()
            ],
            commit_message=f"Export {publication.name} of galgame-asr at {commit}",
        )
    except ConfigError:
        raise
    except Exception as error:  # hub, HTTP and connection errors share no base
        raise ExportError(
            f"{repo} was not published: {error}. Nothing was committed; HF_TOKEN or "
            "`hf auth login` says who uploads, who must be allowed to write there"
        ) from error
    return str(done.commit_url)


def _base_licence(found: Facts, given: str | None) -> str | None:
    """The licence of the published model that an export comes from; None: it comes from none."""
    if found.hub_base is None:
        return given
    file = MODELS / "base" / CARD
    stated = ModelCard.load(file, ignore_metadata_errors=True).data if file.is_file() else None
    licence = given or getattr(stated, "license_name", None) or getattr(stated, "license", None)
    if licence is None:
        raise ConfigError(
            f"the licence of {found.hub_base.repo} is not known here; read its page, and state "
            "it with --base-license"
        )
    return str(licence)
