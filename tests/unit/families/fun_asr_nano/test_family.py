"""Our Fun-ASR-Nano computes what funasr computes, and is saved and loaded whole."""

import json
import re
import shutil
from pathlib import Path

import funasr.models.fun_asr_nano.model as upstream
import pytest
import torch
from ruamel.yaml import YAML

from galgame_asr.families.common.family import Search, load
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.family import FunAsrNano, num_speech_tokens
from galgame_asr.families.fun_asr_nano.funasr_parts import WavFrontend
from galgame_asr.families.fun_asr_nano.network import IGNORED, Model
from galgame_asr.families.fun_asr_nano.weights import read_config, save_weights
from galgame_asr.messages.errors import CheckpointError
from galgame_asr.training.freezing import freeze
from tests.models import JAPANESE, TEXTS, build, examples, gradients, log_prob, noise


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture
def family(directory: Path) -> FunAsrNano:
    return fun_asr_nano.load(directory)


def upstream_model(family: FunAsrNano) -> upstream.FunASRNano:
    """Funasr's own class with the same config and weights."""
    config = read_config(family.directory)
    theirs = upstream.FunASRNano(**config, input_size=560, vocab_size=-1)
    theirs.load_state_dict(family.model.state_dict())
    return theirs.eval()


def upstream_frontend(family: FunAsrNano) -> WavFrontend:
    """Funasr's own front end with the same config."""
    return WavFrontend(**read_config(family.directory)["frontend_conf"] | {"dither": 0.0})


def set_downsampling(directory: Path, rate: int) -> None:
    config = YAML(typ="safe").load(directory / "config.yaml")
    config["audio_adaptor_conf"]["downsample_rate"] = rate
    YAML().dump(config, directory / "config.yaml")


@pytest.mark.parametrize(
    ("rate", "lengths_s"),
    [
        (1, [0.5, 1.3, 2.0, 0.9]),  # as in the published model
        # With frames stacked, upstream mixes padding into the last real ones, so only
        # equal lengths can be compared.
        (8, [1.2, 1.2, 1.2]),
    ],
)
def test_loss_and_gradients_equal_funasr(tmp_path: Path, rate: int, lengths_s: list[float]) -> None:
    """Same batch, same weights: loss within 1e-6, gradients within 1e-5 of their size."""
    directory = build(tmp_path / "m")
    set_downsampling(directory, rate)
    (directory / "model.pt").unlink()
    config = read_config(directory)
    torch.manual_seed(1)
    model = Model(**config, input_size=560, vocab_size=-1)
    save_weights(model, directory / "model.pt")
    family = fun_asr_nano.load(directory)
    theirs = upstream_model(family)
    batch = family.training_batch(examples(family, lengths_s))
    loss = family.model(**batch)["loss"]
    loss.backward()
    # funasr changes its arguments, and takes one column per turn of the conversation.
    del batch["instruction"]  # ours
    copies = {name: tensor.clone() for name, tensor in batch.items()}
    for name in ("fbank_beg", "fake_token_len"):
        copies[name] = copies[name][:, None]
    their_loss, _, _ = theirs(**copies)
    their_loss.backward()
    torch.testing.assert_close(loss, their_loss.squeeze(), rtol=1e-6, atol=0)
    ours, their_gradients = gradients(family.model), gradients(theirs)
    assert ours.keys() == their_gradients.keys()
    for name, gradient in ours.items():
        difference = (gradient - their_gradients[name]).norm()
        assert difference <= 1e-5 * their_gradients[name].norm() + 1e-8, name


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(),
        JAPANESE,
        Prompt(language="日文", hotwords=("葵", "詩織"), itn=False),
    ],
)
def test_the_instruction_is_token_for_token_funasrs(family: FunAsrNano, prompt: Prompt) -> None:
    """Source tokens, speech position and length, as FunASRNano.data_load_speech makes them."""
    theirs = upstream_model(family)
    audio = torch.from_numpy(noise(1.1))
    chat = theirs.generate_chatml(
        theirs.get_prompt(list(prompt.hotwords), prompt.language, prompt.itn), audio
    )
    loaded = theirs.data_load_speech(
        theirs.data_template(chat), family.tokenizer, upstream_frontend(family)
    )
    features = family.features(noise(1.1))
    tokens, start, num_speech = family._prompt_tokens(features, prompt)
    torch.testing.assert_close(loaded["speech"][0], features, atol=0.02, rtol=0)
    assert loaded["source_ids"][0].tolist() == tokens
    assert loaded["fbank_beg"].item() == start
    assert loaded["fake_token_len"].item() == num_speech


def test_the_language_model_gets_an_eighth_of_the_frames() -> None:
    """ceil(T/8), for every length up to 30 s."""
    for frames in range(1, 501):
        assert num_speech_tokens(frames) == -(-frames // 8)


@pytest.mark.parametrize("rate", [1, 8])
def test_text_and_loss_do_not_depend_on_the_batch(tmp_path: Path, rate: int) -> None:
    """One by one or padded together: the same text, and the mean of the same losses."""
    directory = build(tmp_path / "m")
    set_downsampling(directory, rate)
    model = Model(**read_config(directory), input_size=560, vocab_size=-1)
    save_weights(model, directory / "model.pt")
    family = fun_asr_nano.load(directory)
    batch = examples(family, [0.1, 0.7, 2.9, 1.4, 0.03])
    features = [example.features for example in batch]
    together = family.transcribe(features, JAPANESE, Search([12, 12, 3, 12, 12]))
    limits = [12, 12, 3, 12, 12]
    alone = [
        family.transcribe([f], JAPANESE, Search([limit]))[0]
        for f, limit in zip(features, limits, strict=True)
    ]
    assert [t.text for t in together] == [t.text for t in alone]
    assert [t.num_tokens for t in together] == [t.num_tokens for t in alone]
    assert together[2].num_tokens == 3
    for first, second in zip(together, alone, strict=True):
        assert first.log_prob == pytest.approx(second.log_prob, abs=1e-3)
    num_tokens = [len(family.tokenizer.encode(e.text + "<|im_end|>")) for e in batch]
    losses = [family.model(**family.training_batch([e]))["loss"] for e in batch]
    mean = sum(n * loss for n, loss in zip(num_tokens, losses, strict=True)) / sum(num_tokens)
    torch.testing.assert_close(family.model(**family.training_batch(batch))["loss"], mean)


def test_decoding_equals_funasr_one_by_one(family: FunAsrNano) -> None:
    """The text of a batch is what funasr's own inference gives for each utterance."""
    theirs = upstream_model(family)
    audio = [noise(s, i) for i, s in enumerate([0.4, 1.9, 1.0])]
    ours = family.transcribe(
        [family.features(a) for a in audio], JAPANESE, Search([10] * len(audio))
    )
    for samples, transcript in zip(audio, ours, strict=True):
        results, _ = theirs.inference(
            [torch.from_numpy(samples)],
            key=["u"],
            tokenizer=family.tokenizer,
            frontend=upstream_frontend(family),
            language="日文",
            device="cpu",
            max_length=10,
        )
        assert results[0]["text"] == transcript.text


def greedy(family: FunAsrNano, features: torch.Tensor, limit: int) -> tuple[list[int], float]:
    """Greedy search without a cache or a batch: tokens and their log probability."""
    source, start, num = family._prompt_tokens(features, JAPANESE)
    encoded, lengths = family.model.encode(features[None], torch.tensor([len(features)]))
    embeddings = family.model.embed(
        encoded, lengths, torch.tensor([source]), torch.tensor([start]), torch.tensor([num])
    )
    tokens: list[int] = []
    log_prob = 0.0
    for _ in range(limit):
        log_probs = family.model.llm(inputs_embeds=embeddings).logits[0, -1].log_softmax(-1)
        tokens.append(int(log_probs.argmax()))
        log_prob += float(log_probs.max())
        added = family.model.llm.get_input_embeddings()(torch.tensor([tokens[-1:]]))
        embeddings = torch.cat([embeddings, added], dim=1)
    return tokens, log_prob


@torch.no_grad()
def test_log_probabilities_are_those_of_the_tokens(family: FunAsrNano) -> None:
    """In a batch with padding, equal to the sum of a plain greedy search's."""
    features = [family.features(noise(s, i)) for i, s in enumerate([0.4, 1.9, 1.0])]
    found = family.transcribe(features, JAPANESE, Search([6, 9, 7]))
    for item, transcript, limit in zip(features, found, [6, 9, 7], strict=True):
        tokens, log_prob = greedy(family, item, limit)
        assert transcript.num_tokens == len(tokens)
        text = family.tokenizer.decode(tokens, skip_special_tokens=True)
        assert transcript.text.split() == text.split()
        assert transcript.log_prob == pytest.approx(log_prob, rel=1e-4)


def test_beams_find_more_probable_texts_and_loops_can_be_forbidden(family: FunAsrNano) -> None:
    """Of the same length, the best of four is at least as probable; no token comes twice."""
    features = [family.features(noise(s, i)) for i, s in enumerate([0.4, 1.9])]
    limits = [8, 8]
    one, four = (family.transcribe(features, JAPANESE, Search(limits, beams)) for beams in (1, 4))
    assert log_prob(four) >= log_prob(one) - 1e-3
    for transcript in family.transcribe(features, JAPANESE, Search(limits, 1, 1)):
        words = transcript.text.split()
        assert len(set(words)) == len(words)


def test_no_dropout_in_frozen_modules(family: FunAsrNano) -> None:
    """train() does not wake it (FunASR's does); a frozen part's output needs no gradient."""
    freeze(family.model, family.parts, {"encoder": True, "adaptor": False, "llm": True})
    family.model.train()
    modes = {part: m.training for part, m in family.model.named_children() if m is not None}
    assert modes == {"audio_encoder": False, "llm": False, "audio_adaptor": True}
    batch = family.training_batch(examples(family, [0.5]))
    encoded, _ = family.model.encode(batch["speech"], batch["speech_lengths"])
    assert not encoded.requires_grad
    family.model(**batch)["loss"].backward()
    assert {name.split(".")[0] for name in gradients(family.model)} == {"audio_adaptor"}


def test_logits_are_computed_at_label_positions_only(family: FunAsrNano) -> None:
    """The head sees as many positions as there are label tokens."""
    seen = []
    family.model.llm.lm_head.register_forward_hook(lambda _m, args, _o: seen.append(args[0].shape))
    batch = family.training_batch(examples(family, [0.5, 1.5]))
    family.model(**batch)
    num_labels = int((batch["labels_ids"] != IGNORED).sum())
    assert [shape[0] for shape in seen] == [num_labels]
    assert num_labels < batch["input_ids"].numel() / 2


def test_the_batch_is_not_changed(family: FunAsrNano) -> None:
    """A second pass over the same tensors gives the same loss (funasr scales them in place)."""
    batch = family.training_batch(examples(family, [0.5, 0.8]))
    first, second = (family.model(**batch)["loss"] for _ in range(2))
    assert first == second


def test_the_ctc_head_trains_but_is_not_saved(family: FunAsrNano, tmp_path: Path) -> None:
    """It adds to the loss, gets a gradient, and leaves no trace in the checkpoint."""
    speech = examples(family, [1.5, 1.8])
    plain = family.model(**family.training_batch(speech))["loss"]
    family.add_ctc_loss(0.3, None)
    loss = family.model(**family.training_batch(speech))["loss"]
    assert loss > plain
    loss.backward()
    assert gradients(family.model)["ctc_head.weight"].norm() > 0
    family.save(tmp_path / "saved")
    load("fun_asr_nano", tmp_path / "saved")


def test_equal_weights_are_saved_as_equal_bytes(family: FunAsrNano, tmp_path: Path) -> None:
    """Wherever and whenever: a checkpoint's hash tells whether the weights differ."""
    for name in ("a", "another-name"):
        family.save(tmp_path / name)
    family.save(tmp_path / "a")  # once more, over the first
    files = [tmp_path / name / "model.pt" for name in ("a", "another-name")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes() == (family.directory / "model.pt").read_bytes()


def test_no_absolute_path_is_written(family: FunAsrNano, tmp_path: Path) -> None:
    """A saved directory can move; and no folder of this machine stands in its config."""
    family.save(tmp_path / "saved")
    moved = shutil.move(tmp_path / "saved", tmp_path / "moved")
    for file in Path(moved).rglob("*.[jy]*"):
        assert str(tmp_path.parent) not in file.read_text()
    load("fun_asr_nano", Path(moved))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("audio_encoder.tp_norm.bias"), "1 missing: audio_encoder.tp_norm.bias"),
        (lambda w: w.update(extra=torch.zeros(1)), "1 unexpected: extra"),
        (
            lambda w: w.update({"audio_adaptor.linear2.bias": torch.zeros(3)}),
            r"1 of another shape: audio_adaptor.linear2.bias \(3,\) instead of \(32,\)",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named(
    family: FunAsrNano, tmp_path: Path, change: object, message: str
) -> None:
    """Missing, unexpected and misshapen tensors are errors, never random weights."""
    family.save(tmp_path / "m")
    weights = torch.load(tmp_path / "m/model.pt", weights_only=True)["state_dict"]
    assert callable(change)
    change(weights)
    torch.save({"state_dict": weights}, tmp_path / "m/model.pt")
    with pytest.raises(CheckpointError, match=message):
        load("fun_asr_nano", tmp_path / "m")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.yaml", "is no FunASR model directory: .*config.yaml is missing"),
        ("configuration.json", "configuration.json is missing"),
        ("model.pt", "model.pt is missing"),
    ],
)
def test_a_directory_with_a_missing_file_is_named(
    family: FunAsrNano, tmp_path: Path, file: str, message: str
) -> None:
    """Each message names the file."""
    family.save(tmp_path / "m")
    (tmp_path / "m" / file).unlink()
    with pytest.raises(CheckpointError, match=message):
        load("fun_asr_nano", tmp_path / "m")


def test_files_that_people_edited(family: FunAsrNano, tmp_path: Path) -> None:
    """Byte order marks do no harm; damage, another encoding or another type is one message."""
    family.save(tmp_path / "m")
    for name in ("config.yaml", "configuration.json"):
        file = tmp_path / "m" / name
        whole, expected = file.read_bytes(), read_config(tmp_path / "m")
        file.write_bytes(b"\xef\xbb\xbf" + whole.replace(b"\n", b"\r\n"))
        assert read_config(tmp_path / "m") == expected
        for damaged in (b"{", b"[]", "{a: はい}".encode("cp932")):
            file.write_bytes(damaged)
            with pytest.raises(CheckpointError, match=rf"{name} (cannot be read|is list; allowed)"):
                load("fun_asr_nano", tmp_path / "m")
        file.write_bytes(whole)


def test_a_truncated_checkpoint_is_named(family: FunAsrNano, tmp_path: Path) -> None:
    """Half a file is an error, not half a model."""
    family.save(tmp_path / "m")
    file = tmp_path / "m/model.pt"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=re.escape(f"{file} cannot be read")):
        load("fun_asr_nano", tmp_path / "m")


def test_features_do_not_change_from_call_to_call(family: FunAsrNano, tmp_path: Path) -> None:
    """Dither is off, even if a model's config leaves it at funasr's default of 1."""
    family.save(tmp_path / "m")
    config = YAML(typ="safe").load(tmp_path / "m/config.yaml")
    del config["frontend_conf"]["dither"]
    YAML().dump(config, tmp_path / "m/config.yaml")
    loaded = fun_asr_nano.load(tmp_path / "m")
    assert torch.equal(loaded.features(noise(1.0)), loaded.features(noise(1.0)))


def test_the_tokenizer_keeps_texts_and_characters(family: FunAsrNano) -> None:
    """Every text comes back, an unseen character included; known ones are one token each."""
    for text in [*TEXTS, "未知の文字㋿"]:
        tokens = family.tokenizer.encode(text)
        assert family.tokenizer.decode(tokens) == text
    assert len(family.tokenizer.encode("葵、おはよう。")) == 7
    names = json.loads((family.directory / "Qwen3-tiny/config.json").read_text())
    assert family.tokenizer.convert_ids_to_tokens(names["eos_token_id"]) == "<|im_end|>"
