"""What the corpora that a model heard, and the model it comes from, ask of it.

Read on the corpora's pages in 2026; this is no legal advice, and pages change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from galgame_asr.corpora.aishell.params import Aishell
from galgame_asr.corpora.folder.params import Folder
from galgame_asr.corpora.galgame.params import Galgame
from galgame_asr.corpora.hub_dataset.params import HubDataset
from galgame_asr.corpora.params import Entry as Corpus
from galgame_asr.corpora.reazonspeech.params import ReazonSpeech
from galgame_asr.corpora.recordings.params import Recordings
from galgame_asr.corpora.synthetic.params import Synthetic
from galgame_asr.messages.errors import ConfigError

GALGAME_SPEECH = "litagin/Galgame_Speech_ASR_16kHz"
REAZONSPEECH = "reazon-research/reazonspeech"
OURS = "apache-2.0"


@dataclass(frozen=True)
class Licence:
    """A licence as the hub's model cards name one."""

    id: str
    # With the id other: what it is called, and where it can be read.
    name: str | None = None
    link: str | None = None


@dataclass(frozen=True)
class Terms:
    """What a corpus asks of its users."""

    source: str  # what it is, for people
    terms: str  # sentences
    # Its name on the hub, if it is there.
    dataset: str | None = None
    # The terms are known here, and not only to the user.
    known: bool = True
    # The licence of every model trained on it; None: the terms ask for none.
    licence: Licence | None = None
    # Models trained on it must be open to everybody.
    open_model: bool = False


def of_corpus(corpus: Corpus) -> Terms:
    """The terms of a corpus, by its kind."""
    match corpus:
        case Synthetic():
            return Terms(
                'speech rendered by galgame-asr with the HTS voice "Mei"',
                'HTS Voice "Mei", copyright 2009-2013 Nagoya Institute of Technology, MMDAgent '
                "project team, CC BY 3.0 (https://creativecommons.org/licenses/by/3.0/); altered "
                "in pitch, speed and resonances. The sentences were written for the project.",
            )
        case Galgame() if corpus.repo == GALGAME_SPEECH:
            link = f"https://huggingface.co/datasets/{GALGAME_SPEECH}"
            return Terms(
                f"{GALGAME_SPEECH} at revision {corpus.revision}",
                "GPL-3.0 with further terms: neither the corpus nor a model trained on it may be "
                "used commercially, and models trained on it must be open-sourced. It is speech "
                "of games, with adult content.",
                dataset=GALGAME_SPEECH,
                licence=Licence("other", "galgame-speech-asr-16khz-terms", link),
                open_model=True,
            )
        case ReazonSpeech():
            return Terms(
                f"ReazonSpeech v2, tier {corpus.tier}",
                "CDLA-Sharing-1.0; to be used solely for the purpose of Article 30-4 of the "
                "Japanese Copyright Act (information analysis).",
                dataset=REAZONSPEECH,
            )
        case Aishell():
            return Terms(
                f"AISHELL-1, archive with MD5 {corpus.md5}",
                "Apache-2.0, as https://www.openslr.org/33 states.",
            )
        case Galgame() | HubDataset():
            on_hub = corpus.revision is not None
            return Terms(
                f"{corpus.repo} at revision {corpus.revision}" if on_hub else "a private data set",
                "See the page of the data set." if on_hub else "Known to who trained the model.",
                dataset=corpus.repo if on_hub else None,
                known=False,
            )
        case Folder() | Recordings():
            return Terms("private recordings", "Known to who trained the model.", known=False)


def decide(terms: Mapping[str, Terms], *, built_here: bool, given: str | None) -> Licence:
    """The licence of a model.

    Args:
        terms: of the corpora that it was trained on, by name.
        built_here: it does not come from a published model.
        given: what the user states, an identifier of the hub.

    Raises:
        ConfigError: nobody here can know, and the user states nothing; or states another
            one than the terms of a corpus ask for.
    """
    for name, of in terms.items():
        if of.licence is not None:
            if given not in (None, of.licence.id):
                raise ConfigError(
                    f"--license {given} cannot be: the terms of corpus {name} decide ({of.terms} "
                    f"{of.licence.link}). Leave --license out"
                )
            return of.licence
    if given is not None:
        return Licence(given)
    if unknown := [name for name, of in terms.items() if not of.known]:
        raise ConfigError(
            f"the terms of {_list('corpus', unknown)} are not known here; state the licence of "
            "the model with --license, such as apache-2.0, cc-by-nc-4.0 or other "
            "(https://huggingface.co/docs/hub/repositories-licenses)"
        )
    if not built_here:
        raise ConfigError(
            "the licence of a model that was made from a published one depends on that one's; "
            "read its page, and state the licence of this one with --license"
        )
    return Licence(OURS)


def warnings(terms: Mapping[str, Terms], *, private: bool) -> list[str]:
    """What whoever publishes should hear first."""
    open_ = [name for name, of in terms.items() if of.open_model]
    if private and open_:
        return [
            f"models trained on {_list('corpus', open_)} must be open-sourced. A private "
            "repository distributes nothing to anybody, so it does not fulfil that; whoever "
            "gets the model in another way must get it openly"
        ]
    return []


def _list(what: str, names: Sequence[str]) -> str:
    return f"{what} {', '.join(names)}"
