"""Our Whisper computes what transformers computes, and is saved and loaded whole."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from galgame_asr.families.common.family import Search, load
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.whisper import family as whisper
from galgame_asr.families.whisper.family import Whisper
from galgame_asr.families.whisper.front import pad
from galgame_asr.families.whisper.network import IGNORED, SINUSOIDS
from galgame_asr.messages.errors import CheckpointError, ConfigError, DataError
from galgame_asr.runtimes.load import detect
from galgame_asr.training.dataset import refuse_long
from galgame_asr.training.freezing import freeze
from galgame_asr.training.params import TrainingParams
from tests.models import TEXTS, build, build_whisper, examples, gradients, log_prob, noise
from tests.models import WHISPER_JAPANESE as JAPANESE

LENGTHS_S = [0.5, 1.3, 2.0]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_whisper(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture
def family(directory: Path) -> Whisper:
    return whisper.load(directory)


@pytest.fixture(scope="module")
def theirs(directory: Path) -> Any:
    """Transformers' own class, loaded by its own loader."""
    return cast("Any", WhisperForConditionalGeneration).from_pretrained(directory).eval()


@pytest.fixture(scope="module")
def processor(directory: Path) -> Any:
    return WhisperProcessor.from_pretrained(directory)


def test_features_are_transformers_own(family: Whisper, processor: Any) -> None:
    """To the last bits, without the padding and again with it; no longer than the window."""
    for seconds in (0.03, 1.3, 29.99, 30.0):
        audio = noise(seconds)
        features = family.features(audio)
        assert len(features) <= 100 * seconds + 4
        expected = processor(audio, sampling_rate=16_000, return_tensors="pt").input_features
        torch.testing.assert_close(pad([features]), expected, rtol=0, atol=1e-6)
    with pytest.raises(DataError, match=r"31.00 s of audio; Whisper hears 30 s"):
        family.features(noise(31))


def test_loss_and_gradients_equal_transformers(family: Whisper, theirs: Any) -> None:
    """Same batch, same weights; only what transformers never trains has no gradient."""
    freeze(family.model, family.parts, dict.fromkeys(family.parts, False), fixed=family.fixed)
    batch = family.training_batch(examples(family, LENGTHS_S, JAPANESE))
    theirs.requires_grad_(True)
    theirs.zero_grad()
    ours, their_loss = family.model(**batch)["loss"], theirs(**batch).loss
    torch.testing.assert_close(ours, their_loss, rtol=1e-6, atol=0)
    ours.backward()
    their_loss.backward()
    mine, other = gradients(family.model), gradients(theirs)
    assert other.keys() - mine.keys() == {SINUSOIDS}
    for name, gradient in mine.items():
        difference = (gradient - other[name]).norm()
        assert difference <= 1e-5 * other[name].norm() + 1e-8, name


def test_the_prompt_is_token_for_token_transformers(family: Whisper, processor: Any) -> None:
    """With and without hotwords and timestamps; the same in training as in decoding."""
    for timestamps in (False, True):
        processor.tokenizer.set_prefix_tokens("japanese", "transcribe", timestamps)
        text = processor.tokenizer("葵、おはよう。").input_ids
        prompt = Prompt(language="ja", timestamps=timestamps)
        tokens = family.prompt_tokens(prompt)
        assert tokens == text[: len(tokens)]
        example = dataclasses.replace(examples(family, [0.5])[0], prompt=prompt)
        batch = family.training_batch([example])
        assert batch["decoder_input_ids"][0, : len(tokens)].tolist() == tokens
        assert (batch["labels"][0, : len(tokens) - 1] == IGNORED).all()
        if not timestamps:
            assert [*tokens, *batch["labels"][0, len(tokens) - 1 :].tolist()] == text
    words = processor.get_prompt_ids("葵、詩織").tolist()
    hot = Prompt(language="Japanese", hotwords=("葵", "詩織"))
    assert family.prompt_tokens(hot) == words + family.prompt_tokens(JAPANESE)


def test_timestamps_are_rounded_to_20_ms(family: Whisper) -> None:
    """The text stands between the beginning and the end of the speech."""
    (example,) = examples(family, [1.307], Prompt(language="ja", timestamps=True))
    labels = family.training_batch([example])["labels"][0]
    names = family.tokenizer.convert_ids_to_tokens(labels[labels != IGNORED].tolist())
    assert names[0] == "<|0.00|>"
    assert names[-2:] == ["<|1.30|>", "<|endoftext|>"]


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(language="日文"), r"language '日文' is none .* such as ja or japanese: .*\bzh\b"),
        (Prompt(language="ja", itn=False), "itn: false: Whisper cannot be told so"),
        (Prompt(), "language is null: .* language: ja in the phase's prompts"),
        (Prompt(language="ja", hotwords=("葵",) * 200), r"hotwords are \d+ tokens; .* 223"),
    ],
)
def test_a_prompt_that_whisper_cannot_follow(family: Whisper, prompt: Prompt, message: str) -> None:
    """Each message says how to write it."""
    with pytest.raises(ConfigError, match=message):
        family.training_batch(examples(family, [0.5], prompt))


def test_a_text_beyond_the_decoder_is_named(family: Whisper) -> None:
    """Before a phase begins: the longest that fits can be trained on, one token more not."""
    (example,) = examples(family, [0.5], JAPANESE)
    # The prompt has 4 tokens, and the end of the text needs no place.
    fits, too_long = (dataclasses.replace(example, text="a" * count) for count in (444, 445))
    assert family.max_text_tokens(JAPANESE) == len(family.text_tokens(fits.text)) == 444
    assert family.training_batch([fits])["labels"].shape == (1, 448)
    rows, params = pd.DataFrame({"id": ["a"], "duration_s": 0.5}), TrainingParams(
        freeze={"encoder": True, "decoder": False}, lr=1e-4, epochs=1, mix={"vn": 1.0},
        prompts=(JAPANESE,),
    )  # fmt: skip
    refuse_long(family, params, rows.assign(text=fits.text), rows.assign(text="b"))
    with pytest.raises(DataError, match="utterance a: its text has 445 tokens; 444 fit; leave it"):
        refuse_long(family, params, rows.assign(text=too_long.text), rows.assign(text="b"))
    with pytest.raises(ConfigError, match=r"ctc_weight is 0.3; .* set ctc_weight to 0"):
        family.add_ctc_loss(0.3, "new")


@pytest.mark.parametrize("language", ["ja", None])
def test_decoding_equals_transformers_one_by_one(
    family: Whisper, theirs: Any, processor: Any, language: str | None
) -> None:
    """Text, tokens and detected language of a batch are what `generate` gives for each."""
    audio = [noise(seconds, n) for n, seconds in enumerate(LENGTHS_S)]
    found = family.transcribe(
        [family.features(samples) for samples in audio],
        Prompt(language=language),
        Search([10] * len(audio)),
    )
    for samples, transcript in zip(audio, found, strict=True):
        features = processor(samples, sampling_rate=16_000, return_tensors="pt").input_features
        given = {"language": language} if language else {}
        tokens = theirs.generate(features, task="transcribe", max_new_tokens=10, **given)
        (text,) = processor.batch_decode(tokens, skip_special_tokens=True)
        assert transcript.text == text.strip()


@torch.no_grad()
def test_timestamps_are_decoded_but_no_text(family: Whisper) -> None:
    """The first comes at once and is at most 1 s, as Whisper's rules have it."""
    features = [family.features(noise(1.3))]
    prompt = Prompt(language="ja", timestamps=True)
    (transcript,) = family.transcribe(features, prompt, Search([8]))
    assert "<|" not in transcript.text
    encoded = family.model.model.encoder(pad(features)).last_hidden_state
    given = torch.tensor([family.prompt_tokens(prompt)])
    first = int(family._generate(encoded, given, prompt, Search([8]), 8)[0, 0])
    zero = family.token("<|0.00|>")
    assert zero <= first <= zero + 50


def test_text_and_loss_do_not_depend_on_the_batch(family: Whisper) -> None:
    """One by one or together: the same texts, and the mean of the same losses."""
    batch = examples(family, LENGTHS_S, JAPANESE)
    features, limits = [example.features for example in batch], [12, 3, 12]
    together = family.transcribe(features, JAPANESE, Search(limits))
    for item, limit, transcript in zip(features, limits, together, strict=True):
        (alone,) = family.transcribe([item], JAPANESE, Search([limit]))
        assert (alone.text, alone.num_tokens) == (transcript.text, transcript.num_tokens)
        assert alone.log_prob == pytest.approx(transcript.log_prob, abs=1e-3)
    assert together[1].num_tokens == 3
    counts = [int((family.training_batch([e])["labels"] != IGNORED).sum()) for e in batch]
    losses = [family.model(**family.training_batch([e]))["loss"] for e in batch]
    mean = sum(n * loss for n, loss in zip(counts, losses, strict=True)) / sum(counts)
    torch.testing.assert_close(family.model(**family.training_batch(batch))["loss"], mean)


@torch.no_grad()
def test_log_probabilities_are_those_of_the_tokens(family: Whisper, theirs: Any) -> None:
    """Equal to the sum along a plain greedy search without a cache or a batch."""
    features = [family.features(noise(s, n)) for n, s in enumerate([0.4, 1.9])]
    start = family.prompt_tokens(JAPANESE)
    hidden = set(theirs.generation_config.begin_suppress_tokens)
    for item, transcript in zip(
        features, family.transcribe(features, JAPANESE, Search([6, 9])), strict=True
    ):
        tokens, log_prob = list(start), 0.0
        while len(tokens) < len(start) + transcript.num_tokens:
            given = torch.tensor([tokens])
            scores = theirs(pad([item]), decoder_input_ids=given).logits[0, -1].log_softmax(-1)
            if len(tokens) == len(start):
                scores[list(hidden)] = -torch.inf
            tokens.append(int(scores.argmax()))
            log_prob += float(scores.max())
        assert transcript.log_prob == pytest.approx(log_prob, rel=1e-4)


def test_beams_and_forbidden_loops(family: Whisper) -> None:
    """The best of four is at least as probable; no token twice, but hotwords may come."""
    features = [family.features(noise(s, n)) for n, s in enumerate([0.4, 1.9])]
    one, four = (family.transcribe(features, JAPANESE, Search([8, 8], n)) for n in (1, 4))
    assert log_prob(four) >= log_prob(one) - 1e-3
    (free,) = whisper.NoRepeat(1, 2)(torch.tensor([[5, 6, 7]]), torch.zeros(1, 9))
    assert free.isinf().nonzero().flatten().tolist() == [7]


def test_no_dropout_in_frozen_modules(family: Whisper) -> None:
    """train() does not wake it; a frozen encoder keeps no activations."""
    freeze(family.model, family.parts, {"encoder": True, "decoder": False}, fixed=family.fixed)
    family.model.train()
    assert not any(module.training for module in family.model.model.encoder.modules())
    assert family.model.model.decoder.training
    batch = family.training_batch(examples(family, [0.5], JAPANESE))
    encoded, lengths = family.encode(batch)
    assert not encoded.requires_grad
    assert lengths.tolist() == [1500]
    family.model(**batch)["loss"].backward()
    assert all(name.startswith("model.decoder.") for name in gradients(family.model))
    rest = {name: value for name, value in batch.items() if name != "input_features"}
    family.model.train(False)
    assert family.model(**rest, encoded=encoded)["loss"] == family.model(**batch)["loss"]


def test_logits_are_computed_at_label_positions_only(family: Whisper) -> None:
    """Of a vocabulary of 51,866, they are most of the decoder's memory."""
    seen = []
    family.model.proj_out.register_forward_hook(lambda _m, args, _o: seen.append(args[0].shape))
    batch = family.training_batch(examples(family, LENGTHS_S, JAPANESE))
    family.model(**batch)
    assert [shape[0] for shape in seen] == [int((batch["labels"] != IGNORED).sum())]


def test_saved_directories_are_equal_plain_and_movable(family: Whisper, tmp_path: Path) -> None:
    """Equal bytes wherever and whenever; all files a converter wants; no path of ours."""
    for name in ("a", "another-name", "a"):
        family.save(tmp_path / name)
    shutil.move(tmp_path / "a", tmp_path / "moved")
    files = {f.name: f.read_bytes() for f in (tmp_path / "moved").iterdir()}
    assert files == {f.name: f.read_bytes() for f in (tmp_path / "another-name").iterdir()}
    assert files.keys() >= {
        "config.json", "generation_config.json", "model.safetensors",
        "preprocessor_config.json", "tokenizer.json",
    }  # fmt: skip
    for name, content in files.items():
        assert str(tmp_path.parent).encode() not in content, name
    loaded, info = cast("Any", WhisperForConditionalGeneration).from_pretrained(
        tmp_path / "moved", output_loading_info=True
    )
    assert not any(info.values()), info
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, family.model.state_dict()[name]), name


def test_what_newer_transformers_leave_out_is_written(family: Whisper, tmp_path: Path) -> None:
    """Of a processor saved by transformers 5 alone, and weights in half precision."""
    family.save(tmp_path / "m")
    (tmp_path / "m/preprocessor_config.json").unlink()
    processor: Any = WhisperProcessor
    processor(family.extractor, family.tokenizer).save_pretrained(tmp_path / "m")
    half = {n: t.half() for n, t in load_file(tmp_path / "m/model.safetensors").items()}
    save_file(half, tmp_path / "m/model.safetensors")
    load("whisper", tmp_path / "m").save(tmp_path / "again")
    assert (tmp_path / "again/preprocessor_config.json").is_file()
    assert json.loads((tmp_path / "again/config.json").read_text())["dtype"] == "float32"
    saved = load_file(tmp_path / "again/model.safetensors")
    assert all(tensor.dtype == torch.float32 for tensor in saved.values())


def test_saving_in_place_replaces_files(family: Whisper, tmp_path: Path) -> None:
    """Files of a download are links to it and to DVC's cache, which keep their bytes."""
    family.save(tmp_path / "m")
    loaded = load("whisper", tmp_path / "m")
    for name in ("preprocessor_config.json", "tokenizer.json"):  # as other versions leave out
        (tmp_path / "m" / name).unlink()
    (tmp_path / "kept").mkdir()
    for file in list((tmp_path / "m").iterdir()):
        if file.name != "config.json":  # which is read
            file.write_bytes(b" " + file.read_bytes())
        (tmp_path / "kept" / file.name).hardlink_to(file)
    before = {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()}
    loaded.save(tmp_path / "m")
    assert (tmp_path / "m/tokenizer.json").is_file()
    assert {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("model.encoder.conv1.bias"), "1 missing: model.encoder.conv1.bias"),
        (lambda w: w.update(extra=torch.zeros(1)), "1 unexpected: extra"),
        (
            lambda w: w.update({"model.encoder.conv1.bias": torch.zeros(3)}),
            r"1 of another shape: model.encoder.conv1.bias \(3,\) instead of \(16,\)",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named(
    family: Whisper, tmp_path: Path, change: Any, message: str
) -> None:
    """Missing, unexpected and misshapen tensors are errors, never random weights."""
    family.save(tmp_path / "m")
    tensors = load_file(tmp_path / "m/model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load("whisper", tmp_path / "m", tmp_path / "other.safetensors")


def test_damaged_and_missing_files_are_named(family: Whisper, tmp_path: Path) -> None:
    """Each message names the file; half a file is no half model."""
    family.save(tmp_path / "m")
    file = tmp_path / "m/model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"model.safetensors cannot be read"):
        load("whisper", tmp_path / "m")
    file.unlink()
    with pytest.raises(CheckpointError, match=r"model.safetensors is missing"):
        load("whisper", tmp_path / "m")
    values = json.loads((tmp_path / "m/generation_config.json").read_text())
    del values["lang_to_id"]
    family.save(tmp_path / "m")
    (tmp_path / "m/generation_config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"has no lang_to_id; only multilingual"):
        load("whisper", tmp_path / "m")
    for name in ("generation_config.json", "config.json"):
        whole = (tmp_path / "m" / name).read_bytes()
        for damaged in (whole[:50], b"\xff\xfe" + whole, b"[]"):
            (tmp_path / "m" / name).write_bytes(damaged)
            with pytest.raises(CheckpointError, match=r"generation_config.json is damaged"):
                load("whisper", tmp_path / "m")
        (tmp_path / "m" / name).write_bytes(whole)
    (tmp_path / "m/generation_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"generation_config.json is missing"):
        load("whisper", tmp_path / "m")


def test_the_family_of_a_directory(directory: Path, tmp_path: Path) -> None:
    """By its files; what is none says what it holds."""
    assert detect(directory) == "whisper"
    assert detect(build(tmp_path / "nano")) == "fun_asr_nano"
    converted = tmp_path / "ct2"
    converted.mkdir()
    (converted / "model.bin").touch()
    with pytest.raises(CheckpointError, match=r"found model.bin; allowed: config.yaml"):
        detect(converted)
    (converted / "config.json").write_text('{"lang_ids": []}')
    assert detect(converted) == "ctranslate2"


def test_the_tokenizer_keeps_texts_and_whispers_order(family: Whisper) -> None:
    """Every text comes back; a character is a token; ids are where Whisper's tools expect them."""
    for text in [*TEXTS, "未知の文字㋿"]:
        tokens = family.tokenizer.encode(text, add_special_tokens=False)
        assert family.tokenizer.decode(tokens) == text
    assert len(family.tokenizer.encode("葵、おはよう。", add_special_tokens=False)) == 7
    names = ["<|startoftranscript|>", "<|en|>", "<|ja|>", "<|notimestamps|>", "<|0.00|>"]
    start, english, japanese, none, first = (family.token(name) for name in names)
    assert (english, japanese, first) == (start + 1, start + 8, none + 1)
    assert family.tokenizer.all_special_ids[-1] + 1 == first
    assert len(family.tokenizer) == first + 1501 == family.model.config.vocab_size
