"""The model card: YAML that the hub reads, and a page for people."""

from collections.abc import Mapping

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from galgame_asr.families.common.params import Prompt
from galgame_asr.publishing.facts import CorpusFacts, Facts, Score
from galgame_asr.publishing.licences import Licence

# As the hub calls them; of others it knows nothing.
LIBRARIES = {"funasr": "funasr", "ctranslate2": "ctranslate2", "sherpa": "sherpa-onnx"}
SETS = {"test": "in domain", "ood": "out of domain"}
LANGUAGES = {"日文": "ja", "中文": "zh", "英文": "en", "japanese": "ja", "chinese": "zh"}


def render(facts: Facts, repo: str, licence: Licence, base_licence: str | None) -> str:
    """README.md of a model repository.

    Args:
        facts: what the run's files say.
        repo: USER/MODEL.
        licence: of the model.
        base_licence: of the published model that it comes from.
    """
    page = (
        _environment()
        .get_template("card.md.jinja")
        .render(
            facts=facts,
            repo=repo,
            title=repo.rpartition("/")[2],
            licence=licence,
            base_licence=base_licence,
            sets=SETS,
            language=language(facts),
            find=lambda part, end: next(
                (name for name in facts.files if part in name and name.endswith(end)), part + end
            ),
        )
    )
    return f"---\n{front_matter(facts, repo, licence).to_yaml()}\n---\n\n{page}"


def terms(facts: Facts, licence: Licence, base_licence: str | None) -> str:
    """TERMS.md: the card's section on licences, which stays with copies of the files."""
    template = _environment().get_template("terms.md.jinja")
    text = template.render(facts=facts, licence=licence, base_licence=base_licence)
    return f"# Licence and terms\n\n{text}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("galgame_asr.publishing", "assets"),
        autoescape=False,  # Markdown
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = lambda rate: f"{100 * rate:.2f} %"
    environment.filters["frozen"] = _frozen
    environment.globals["prompt_arguments"] = _prompt_arguments
    return environment


def _frozen(freeze: Mapping[str, bool]) -> str:
    return ", ".join(part for part, is_frozen in freeze.items() if is_frozen) or "nothing"


def _prompt_arguments(prompt: Prompt) -> str:
    """A prompt as funasr's `generate` takes it, as Python code."""
    return repr({"language": prompt.language, "hotwords": list(prompt.hotwords), "itn": prompt.itn})


def language(facts: Facts) -> str:
    """The code of the language that the model was verified with; Japanese if its prompt has none.

    The names are those that prompts use.
    """
    named = facts.params.prompts[facts.export.verify.prompt].language
    return LANGUAGES.get(named or "", named or "ja")


def front_matter(facts: Facts, repo: str, licence: Licence) -> ModelCardData:
    """The card's metadata (https://huggingface.co/docs/hub/model-cards)."""
    datasets = [terms.dataset for terms in facts.trained_on.values() if terms.dataset]
    return ModelCardData(
        base_model=facts.hub_base.repo if facts.hub_base else None,
        datasets=sorted(set(datasets)) or None,
        eval_results=[_result(facts, score) for score in facts.scores],
        language=language(facts),
        library_name=LIBRARIES.get(facts.export.format),
        license=licence.id,
        license_name=licence.name,
        license_link=licence.link,
        model_name=repo.rpartition("/")[2],
        pipeline_tag="automatic-speech-recognition",
        tags=["galgame-asr", "speech", facts.family.replace("_", "-"), facts.export.format],
    )


def _result(facts: Facts, score: Score) -> EvalResult:
    tested = [corpus for corpus in facts.corpora if score.set in corpus.sets]
    name = " + ".join(corpus.name for corpus in tested)
    return EvalResult(
        task_type="automatic-speech-recognition",
        task_name="Speech Recognition",
        dataset_type=_dataset(tested),
        dataset_name=f"{name} ({SETS[score.set]})",
        dataset_split=score.set,
        metric_type="cer",
        metric_name=f"CER of {score.checkpoint}, prompt {score.prompt}",
        metric_value=score.values["cer"],
    )


def _dataset(tested: list[CorpusFacts]) -> str:
    """A name on the hub, where the set is of one data set that is there."""
    names = {corpus.terms.dataset for corpus in tested}
    only = names.pop() if len(names) == 1 else None
    return only or "private"
