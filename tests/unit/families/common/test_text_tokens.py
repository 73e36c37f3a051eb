"""What is written like a mark of a model's is text, whatever the tokenizer calls special."""

import random
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from galgame_asr.base.tiny_fun_asr_nano import train_tokenizer
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.text_tokens import TextTokenizer
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.whisper import family as whisper
from galgame_asr.messages.errors import CheckpointError
from tests import models, nanos
from tests.models import TEXTS, examples

NANO_MARKS = ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|startofspeech|>"]
WHISPER_MARKS = ["<|endoftext|>", "<|startoftranscript|>", "<|ja|>", "<|notimestamps|>", "<|0.00|>"]


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> fun_asr_nano.FunAsrNano:
    directory = nanos.add_ctc(models.build(tmp_path_factory.mktemp("nano") / "m"))
    return fun_asr_nano.load(directory)


@pytest.fixture(scope="module")
def a_whisper(tmp_path_factory: pytest.TempPathFactory) -> whisper.Whisper:
    """With timestamps as the published tokenizers have them: added, and not special."""
    loaded = whisper.load(models.build_whisper(tmp_path_factory.mktemp("whisper") / "m"))
    loaded.tokenizer.add_tokens([AddedToken("<|0.00|>"), AddedToken("<|1.00|>")])
    return loaded


def ids(tokenizer: Any, marks: list[str]) -> set[int]:
    return set(tokenizer.convert_tokens_to_ids(marks))


def marked(marks: list[str]) -> list[str]:
    """Texts that hold marks, also within each other."""
    draw = random.Random(0)
    pieces = [*marks, *TEXTS, "<", "|", ">", "<|", "|>", ""]
    drawn = ["".join(draw.choices(pieces, k=draw.randrange(8))) for _ in range(200)]
    nested = [f"終わり{mark[:3]}{mark}{mark[3:]}続き" for mark in marks]
    return [*marks, *(f"終わり{mark}続き" for mark in marks), *nested, *drawn]


def test_marks_in_texts_are_characters(
    nano: fun_asr_nano.FunAsrNano, a_whisper: whisper.Whisper
) -> None:
    """No token of a text is a mark, and the tokens spell the text; other texts are as ever."""
    for tokenizer, marks in ((nano.tokenizer, NANO_MARKS), (a_whisper.tokenizer, WHISPER_MARKS)):
        tokens = TextTokenizer(tokenizer)
        forbidden = ids(tokenizer, marks)
        for text in marked(marks):
            found = tokens(text)
            assert not forbidden & set(found)
            # By the backend: transformers' decoding of Whisper leaves out what looks like times.
            assert tokenizer.backend_tokenizer.decode(found, skip_special_tokens=False) == text
        for text in TEXTS:
            assert tokens(text) == tokenizer.encode(text, add_special_tokens=False)


def test_a_label_ends_once(nano: fun_asr_nano.FunAsrNano, a_whisper: whisper.Whisper) -> None:
    """`終わり<|im_end|>続き`: the one end token is the last, in both families and the CTC loss."""
    for family, end in ((nano, "<|im_end|>"), (a_whisper, "<|endoftext|>")):
        prompt = models.JAPANESE if family is nano else models.WHISPER_JAPANESE
        (example,) = examples(family, [1.0], prompt)
        text = f"終わり{end}続き"
        batch = family.training_batch([_with_text(example, text)])
        labels = batch["labels_ids" if family is nano else "labels"][0].tolist()
        *said, last = (token for token in labels if token >= 0)
        assert last == family.tokenizer.convert_tokens_to_ids(end)
        assert last not in said
        assert family.tokenizer.decode(said, skip_special_tokens=True) == text
    nano.add_ctc_loss(0.3, "published")
    (labels,) = nano.training_batch([_with_text(example, "終<|endoftext|>続")])["ctc_labels"]
    assert labels.tolist() == list("終<|endoftext|>続".encode())


def test_a_hotword_ends_nothing(nano: fun_asr_nano.FunAsrNano, a_whisper: whisper.Whisper) -> None:
    """The instruction of a hotword that is written like a mark has the marks of any other's."""
    for mark in NANO_MARKS:
        plain, odd = (
            nano.training_batch(examples(nano, [1.0], Prompt(hotwords=(word,))))["input_ids"][0]
            for word in ("葵", f"葵{mark}")
        )
        known = ids(nano.tokenizer, NANO_MARKS)
        assert [t for t in odd.tolist() if t in known] == [t for t in plain.tolist() if t in known]
    for mark in WHISPER_MARKS:
        plain, odd = (
            a_whisper.prompt_tokens(Prompt(language="ja", hotwords=(word,)))
            for word in ("葵", f"葵{mark}")
        )
        known = ids(a_whisper.tokenizer, WHISPER_MARKS)
        assert [t for t in odd if t in known] == [t for t in plain if t in known]


def test_a_tokenizer_that_finds_its_marks_all_the_same_is_refused() -> None:
    """What texts become is read back; here by a mark of one character, which has no halves."""
    trained = Tokenizer.from_str(train_tokenizer(TEXTS, 400).to_str())
    trained.add_special_tokens(["|"])
    kind: Any = PreTrainedTokenizerFast
    with pytest.raises(CheckpointError, match=r"takes \| in a text for its own marks"):
        TextTokenizer(kind(tokenizer_object=trained))


def _with_text(example: Any, text: str) -> Any:
    return type(example)(**{**vars(example), "text": text})
