"""A model card says what the run's files say; only what was verified leaves the machine."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from huggingface_hub import ModelCard, constants
from ruamel.yaml import YAML

from galgame_asr.cli import dispatch
from galgame_asr.core.params import parse, read_yaml
from galgame_asr.corpora.params import Entry as Corpus
from galgame_asr.experiment.params import Params
from galgame_asr.families.common.params import Prompt
from galgame_asr.messages.errors import ConfigError, ExportError
from galgame_asr.publishing import card, facts, licences
from galgame_asr.publishing.publish import Publication, prepare
from tests import hub_uploads
from tests.conftest import REPOSITORY
from tests.hub_uploads import Hub

REPO = "me/little-model"
REVISION = "3fb86654222b3f0af0f7c332ae6a0ef9752a9451"
GATE = {
    "utterances": 20, "prompt": "japanese", "min_equal": 1.0, "max_cer_rise": 0.0,
    "max_difference": 0.0,
}  # fmt: skip
EXPORT = {"format": "funasr", "checkpoint": "full/p100", "precision": "float32", "verify": GATE}
VERIFIED = {
    "checkpoint": "full/p100", "format": "funasr", "precision": "float32",
    "runtime": "funasr 1.4.16", "utterances": 20, "equal": 19, "distinct": 18, "cer": 0.1234,
    "cer_front_end": 0.1212, "cer_checkpoint": 0.1212, "log_prob_difference": None,
    "by_command": None, "differences": {"model.pt": 0.0}, "size_mb": 5.8,
    "size_mb_checkpoint": 5.8, "problems": [],
}  # fmt: skip
GALGAME = {
    "kind": "galgame", "repo": "litagin/Galgame_Speech_ASR_16kHz", "revision": REVISION,
    "shards": ["data/*.tar"], "test_shards": [], "counts": None,
}  # fmt: skip
REAZON = {
    "kind": "reazonspeech", "url": "https://example.org", "tier": "small", "beyond": None,
    "agree_terms": True,
}  # fmt: skip
AISHELL = {
    "kind": "aishell", "url": "a.tgz", "md5": "0" * 32, "shard_size": 9,
    "restore_punctuation": None,
}  # fmt: skip
FOLDER = {"kind": "folder", "path": "/data/mine", "shard_size": 9}
DATASET = {
    "kind": "hub_dataset", "repo": "someone/speech", "revision": REVISION, "config": None,
    "splits": {"train": None}, "audio_column": "audio", "text_column": "text", "shard_size": 9,
}  # fmt: skip
# Stages with the names, dependencies and outputs of the real ones, and nothing to run.
STAGES = {
    "stages": {
        "export": {
            "foreach": "${export}",
            "do": {
                "cmd": "true ${key}",
                "deps": ["models/${item.checkpoint}"],
                "outs": ["models/export/${key}"],
            },
        },
        "verify": {
            "foreach": "${export}",
            "do": {
                "cmd": "true verify ${key}",
                "deps": ["models/export/${key}"],
                "outs": [{"metrics/verify/${key}.json": {"cache": False}}],
            },
        },
    }
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose export `auto` is verified as it stands, all committed."""
    root = tmp_path_factory.mktemp("repository")
    values = read_yaml(REPOSITORY / "params.yaml")
    values["export"] = {"auto": EXPORT}
    values["decode"]["checkpoints"] = ["base", "full/p100"]
    parse(Params, values, "")
    YAML().dump(values, root / "params.yaml")
    YAML().dump(STAGES, root / "dvc.yaml")
    shutil.copytree(REPOSITORY / "metrics", root / "metrics")
    (root / ".gitignore").write_text("/models/\n/.scratch/\n")
    write(root / "metrics" / "verify" / "auto.json", VERIFIED)
    for place in ("full/p100", "export/auto"):
        directory = root / "models" / place
        (directory / "Qwen3-tiny").mkdir(parents=True)
        (directory / "model.pt").write_bytes(bytes(range(256)) * 20)
        (directory / "config.yaml").write_text("model: FunASRNano\n")
        (directory / "Qwen3-tiny" / "config.json").write_text("{}\n")
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "config", "user.email", "test@example.org")
    git(root, "config", "user.name", "Test")
    Repo.init(str(root)).close()
    commit(root)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to work in."""
    here = tmp_path / "repository"
    shutil.copytree(template, here)
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_uploads.serving() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        yield served


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(root: Path) -> None:
    """Let the lock agree with the files, as `dvc repro` would, and commit."""
    with contextlib.chdir(root), Repo(".") as repo:
        repo.commit(force=True)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "state")


def write(file: Path, values: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))


def edit(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change params.yaml, and commit all."""
    values = read_yaml(root / "params.yaml")
    change(values)
    YAML().dump(values, root / "params.yaml")
    commit(root)


def made(**more: Any) -> Publication:
    return prepare("auto", REPO, **{"private": False, **more})


def page(**more: Any) -> str:
    return made(**more).card.read_text(encoding="utf-8")


def front_matter(text: str) -> dict[str, Any]:
    """The metadata of a card, as huggingface_hub reads it."""
    data: dict[str, Any] = ModelCard(text).data.to_dict()  # type: ignore[no-untyped-call]
    return data


def results(text: str) -> dict[tuple[str, str], float]:
    """The scores in it, by set and name."""
    (model,) = front_matter(text)["model-index"]
    return {
        (result["dataset"]["split"], metric["name"]): metric["value"]
        for result in model["results"]
        for metric in result["metrics"]
    }


def test_the_card_is_made_of_the_files(root: Path) -> None:
    """Scores with counts and interval, equal texts, data, phases, prompts, hashes, versions."""
    text = page()
    scored = json.loads((root / "metrics/variants/full/p100-japanese.json").read_text())["test"]
    errors = scored["substitutions"] + scored["deletions"] + scored["insertions"]
    lock = YAML(typ="safe").load(root / "dvc.lock")["stages"]["export@auto"]
    for part in (
        f"| {100 * scored['cer']:.2f} % | {100 * scored['cer_low']:.2f} % to",
        f"| {errors} / {scored['characters']} | {scored['utterances']} |",
        "19 of 20 texts are equal",
        "checkpoint is\n12.12 %, that of the export 12.34 %",
        "| full | encoder/p100 | nothing | 0.001 | 6 | vn 1.0 |",
        "| adaptor | base | encoder, llm | 0.002 | 6 | vn 1.0 |",
        "| base | random weights | nothing | 0.001 | 16 | reading 1.0 |",
        "- `japanese`: `语音转写成日文：`",
        "CC BY 3.0",
        f"| git commit | `{git(root, 'rev-parse', 'HEAD')}` |",
        f"`{lock['deps'][0]['md5']}`",
        f"`{lock['outs'][0]['md5']}`",
        "| torch | 2.",
        'AutoModel(model=snapshot_download("me/little-model")',
        "'language': '日文'",
        "test 92",
    ):
        assert part in text, part
    assert "with changes that are not committed" not in text


def test_another_figure_gives_another_card(root: Path) -> None:
    """Nothing is typed: of the report, of verify, of the manifests."""
    before = page()
    file = root / "metrics/variants/full/p100-japanese.json"
    scored = json.loads(file.read_text())
    write(file, scored | {"test": scored["test"] | {"cer": 0.4567}})
    quality = root / "metrics/quality/vn.json"
    write(quality, json.loads(quality.read_text()) | {"usable_hours": 77.5})
    write(root / "metrics/verify/auto.json", VERIFIED | {"equal": 13})
    commit(root)
    after = page()
    assert "45.67 %" not in before
    assert "| 45.67 % |" in after
    assert "| 77.5 |" in after
    assert "13 of 20 texts are equal" in after
    assert 0.4567 in results(after).values()


def test_the_front_matter_is_what_the_hub_reads(root: Path) -> None:
    """Read back by huggingface_hub: language, licence, task, and a result for each score."""
    text = page()
    data = front_matter(text)
    assert data["language"] == "ja"
    assert data["license"] == "apache-2.0"
    assert data["pipeline_tag"] == "automatic-speech-recognition"
    assert data["library_name"] == "funasr"
    assert "base_model" not in data
    (model,) = data["model-index"]
    assert model["name"] == "little-model"
    found = results(text)
    cer = json.loads((root / "metrics/cer.json").read_text())
    assert found["test", "CER of full/p100, prompt japanese"] == cer["full/p100-japanese"]
    assert len(found) == 4


def test_terms_of_the_corpora_decide(root: Path) -> None:
    """Galgame speech: its own terms and no other licence; private publishing is warned of."""

    def change(values: dict[str, Any]) -> None:
        values["corpora"] |= {"vn": GALGAME}
        hub = {"repo": "FunAudioLLM/Nano", "revision": REVISION}
        values["base"] = {"existing": {"hub": hub}, "built": {}}

    edit(root, change)
    with pytest.raises(ConfigError, match=r"licence of FunAudioLLM/Nano is not known.*--base-lic"):
        made()
    ready = made(base_licence="model-license")
    text = ready.card.read_text(encoding="utf-8")
    data = front_matter(text)
    assert data["license"] == "other"
    assert data["license_name"] == "galgame-speech-asr-16khz-terms"
    assert data["license_link"].endswith(GALGAME["repo"])
    assert data["base_model"] == "FunAudioLLM/Nano"
    assert data["datasets"] == [GALGAME["repo"]]
    for part in ("used commercially", "must be open-sourced", REVISION, "**model-license**"):
        assert part in text
        assert part in ready.files["TERMS.md"].read_text(encoding="utf-8")
    assert not any("open-sourced" in warning for warning in ready.warnings)
    (warning,) = made(base_licence="model-license", private=True).warnings
    assert "must be open-sourced. A private repository distributes nothing" in warning
    with pytest.raises(ConfigError, match="--license mit cannot be: the terms of corpus vn decide"):
        made(base_licence="model-license", licence="mit")
    # What a base model's own card says needs no option.
    (root / "models/base").mkdir()
    (root / "models/base/README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Nano\n")
    assert "**cc-by-4.0**" in page()


@pytest.mark.parametrize(
    ("corpus", "part", "known"),
    [
        (REAZON, "Article 30-4", True),
        (AISHELL, "Apache-2.0, as https://www.openslr.org/33", True),
        (FOLDER, "private recordings", False),
        (DATASET, f"someone/speech at revision {REVISION}", False),
        (GALGAME | {"repo": "someone/else"}, "someone/else at revision", False),
    ],
)
def test_what_nobody_here_knows_is_asked(corpus: dict[str, Any], part: str, known: bool) -> None:
    """A licence is guessed for no corpus of the user's own, and for no published base."""
    terms = {"mine": licences.of_corpus(parse(Corpus, corpus, "corpora.mine"))}
    assert part in f"{terms['mine'].source} {terms['mine'].terms}"
    if known:
        assert licences.decide(terms, built_here=True, given=None).id == "apache-2.0"
    else:
        with pytest.raises(
            ConfigError, match=r"terms of corpus mine are not known here.*--license"
        ):
            licences.decide(terms, built_here=True, given=None)
    with pytest.raises(ConfigError, match="--license"):
        licences.decide(terms, built_here=False, given=None)
    assert licences.decide(terms, built_here=False, given="cc-by-4.0").id == "cc-by-4.0"


def test_only_corpora_that_were_heard_count(root: Path) -> None:
    """Those in no mix of the lineage are tested on; their terms do not decide."""
    edit(root, lambda values: values["corpora"].update(reading=GALGAME))
    with pytest.raises(ConfigError, match="corpus reading decide"):
        made(licence="mit")
    edit(root, lambda v: v.update(base={"existing": {"directory": {"path": "/m"}}, "built": {}}))
    ready = made(licence="mit")
    assert ready.licence.id == "mit"
    assert "from a checkpoint that is not published" in ready.card.read_text(encoding="utf-8")


def test_what_was_not_verified_is_not_published(root: Path) -> None:
    """No figures, figures of another precision, files that changed since, no such export."""
    with pytest.raises(ConfigError, match=r"export has no key 'car'\. .*Allowed: auto"):
        prepare("car", REPO, private=True)
    with pytest.raises(ConfigError, match="--repo model is no USER/MODEL"):
        prepare("auto", "model", private=True)
    (root / "models/export/auto/model.pt").write_bytes(b"another")
    with pytest.raises(
        ExportError, match=r"out of date \(models/export/auto\); `dvc repro verify@auto`"
    ):
        made()
    git(root, "checkout", "--quiet", ".")
    edit(root, lambda values: values["export"]["auto"].update(precision="bfloat16"))
    with pytest.raises(ExportError, match=r"of precision float32, and params\.yaml asks for bflo"):
        made()
    (root / "metrics/verify/auto.json").unlink()
    with pytest.raises(ExportError, match=r"auto\.json does not exist: what was not verified is"):
        made()
    shutil.rmtree(root / "models/export/auto")
    with pytest.raises(ExportError, match=r"models/export/auto does not exist"):
        made()
    assert not (root / ".scratch").exists()


def test_what_failed_its_gate_is_not_published(root: Path, hub: Hub) -> None:
    """Verified as it stands, and refused: the reason is told, and what to do; nothing is sent."""
    reason = "19 of 20 texts are equal (export.auto.verify.min_equal is 1.0)"
    write(root / "metrics/verify/auto.json", VERIFIED | {"problems": [reason]})
    commit(root)
    with pytest.raises(ExportError) as caught:
        dispatch(["publish", "auto", "--repo", REPO, "--push"])
    assert str(caught.value).startswith(
        f"export auto failed its gate, and is not published: {reason}. Choose a higher precision, "
        "or lower the gate if this will do; `dvc repro verify@auto`"
    )
    assert hub.requests == []
    assert not (root / ".scratch").exists()


def test_a_stage_that_never_ran_is_named(root: Path) -> None:
    """Files that someone put there are no verification."""
    (root / "dvc.lock").unlink()
    with pytest.raises(ExportError, match="stage export@auto has not run here; `dvc repro ver"):
        made()


def test_a_lock_that_a_merge_left_is_named(root: Path) -> None:
    """It is no YAML any more."""
    (root / "dvc.lock").write_text("<<<<<<< HEAD\nschema: '2.0'\n")
    with pytest.raises(ConfigError, match=r"dvc\.lock is not valid YAML"):
        made()


def test_uncommitted_changes_are_told(root: Path) -> None:
    """On the card and as a warning: the commit alone would not give this model again."""
    with (root / "params.yaml").open("a") as file:
        file.write("# a thought\n")
    ready = made()
    assert "with changes that are not committed" in ready.card.read_text(encoding="utf-8")
    assert any("commit first" in warning for warning in ready.warnings)


@pytest.mark.parametrize(
    ("format_", "precision", "parts"),
    [
        ("sherpa", "int8", ["from_funasr_nano", "/llm.int8.onnx", "/Qwen3-0.6B", 'language="日文"',
            "rounded to int8"]),
        ("gguf", "q8_0", ["llama-funasr-cli --enc model/encoder.gguf -m model/llm.gguf"]),
        ("capswriter", "q8_0", ["models/Fun-ASR-Nano/Fun-ASR-Nano-GGUF"]),
        ("ctranslate2", "float16", ['WhisperModel("me/little-model", compute_type="float16")']),
    ],
)  # fmt: skip
def test_each_format_says_how_to_load_it(
    root: Path, format_: str, precision: str, parts: list[str]
) -> None:
    """With the names of the files that are there."""
    directory = root / "models/export/auto"
    for name in ("encoder_adaptor.int8.onnx", "llm.int8.onnx", "embedding.int8.onnx",
                 "llm.int8.data",
                 "Qwen3-0.6B/tokenizer.json") if format_ == "sherpa" else (
                 "encoder.gguf", "llm.gguf"):  # fmt: skip
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text("x")
    write(
        root / "metrics/verify/auto.json",
        VERIFIED | {"format": format_, "precision": precision, "differences": {}},
    )

    def change(values: dict[str, Any]) -> None:
        values["export"]["auto"] |= {"format": format_, "precision": precision}
        if format_ == "ctranslate2":
            gate = values["export"]["auto"]["verify"]
            values["export"]["auto"]["verify"] = {k: v for k, v in gate.items() if "diff" not in k}

    edit(root, change)
    text = page()
    for part in parts:
        assert part in text, part
    assert "from funasr import" not in text


def test_a_mean_of_checkpoints_says_so(root: Path) -> None:
    """Its lineage is that of its phase. Whisper is told tokens."""
    write(root / "metrics/verify/auto.json", VERIFIED | {"checkpoint": "averaged"})
    shutil.copytree(root / "models/full/p100", root / "models/averaged")
    edit(root, lambda values: values["export"]["auto"].update(checkpoint="averaged"))
    text = page()
    assert "The weights are the mean of full/p80, full/p90, full/p100." in text
    assert "| full | encoder/p100 |" in text
    told = facts.told("whisper", parse(Prompt, {"language": "ja"}, "prompts.x"))
    assert told == "<|startoftranscript|><|ja|><|transcribe|><|notimestamps|>"


def test_a_dry_run_asks_the_hub_nothing(
    root: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    """It shows files with sizes, the card's place, and what --push would do."""
    dispatch(["publish", "auto", "--repo", REPO, "--public"])
    shown = capsys.readouterr().out
    assert hub.requests == []
    assert "0.005 MB  model.pt" in shown
    assert "card: .scratch/publish/auto/README.md" in shown
    assert "Nothing was uploaded. --push would upload 5 files" in shown
    assert f"in one commit to the public {REPO}" in shown
    assert "read by everybody, for good" in shown
    assert (root / ".scratch/publish/auto/README.md").read_text().startswith("---\n")


def test_push_uploads_all_in_one_commit(
    root: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through huggingface_hub: the repository is made, large files go in parts, byte for byte."""
    dispatch(["publish", "auto", "--repo", REPO, "--push"])
    assert hub.private == {REPO: True}
    ((repo, message, files),) = hub.commits
    assert repo == REPO
    assert message == f"Export auto of galgame-asr at {git(root, 'rev-parse', 'HEAD')[:12]}"
    sent = {name: path.read_bytes() for name, path in made(private=True).files.items()}
    assert files == sent
    assert set(files) == {
        "README.md", "TERMS.md", "model.pt", "config.yaml", "Qwen3-tiny/config.json",
    }  # fmt: skip
    (parts,) = hub.parts.values()
    assert len(parts) == 6  # 5120 bytes
    assert hub.tokens == {"Bearer hf_test"}
    assert f"published: {hub.url}/{REPO}/commit/1" in capsys.readouterr().out
    dispatch(["publish", "auto", "--repo", REPO, "--push"])  # the repository is there
    assert len(hub.commits) == 2


def test_a_private_model_goes_into_no_public_repository(root: Path, hub: Hub) -> None:
    """Nor the other way round; nothing is uploaded."""
    assert root.is_dir()
    hub.private[REPO] = False
    with pytest.raises(ConfigError, match="is there and public, not private; change that"):
        dispatch(["publish", "auto", "--repo", REPO, "--push"])
    assert hub.commits == []
    assert hub.parts == {}


def test_a_refusal_says_what_was_not_done(
    root: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No right to write; no hub."""
    assert root.is_dir()
    hub.refuse_commits = True
    with pytest.raises(ExportError, match=r"(?s)not published: .*no right to write\. Nothing"):
        dispatch(["publish", "auto", "--repo", REPO, "--push"])
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ExportError, match="me/little-model was not published"):
        dispatch(["publish", "auto", "--repo", REPO, "--push"])
    assert hub.commits == []


def test_every_language_of_a_prompt_has_a_code(root: Path) -> None:
    """The card names languages as the hub does."""
    for named, code in (("日文", "ja"), (None, "ja"), ("中文", "zh"), ("en", "en")):
        edit(root, lambda v, named=named: v["prompts"]["japanese"].update(language=named))  # type: ignore[misc]
        assert card.language(facts.gather("auto")) == code
