"""A very small Qwen3-ASR with random weights, as a plain transformers directory."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRProcessor,
)

from tests.models import TEXTS

# A token that the model of seed 0 says in the middle of most texts.
COMMON = "m"
AUDIO = ("<|audio_start|>", "<|audio_pad|>", "<|audio_end|>")
MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *AUDIO)
# As Qwen's: the context stands in the turn of the system, which is there also without one.
TEMPLATE = (
    "{%- set system = messages | selectattr('role', 'equalto', 'system') | list -%}"
    "{{ '<|im_start|>system\n' ~ (system[0].content[0].text if system else '') }}"
    "{%- for message in messages if message.role != 'system' -%}"
    "{{ '<|im_end|>\n<|im_start|>' ~ message.role ~ '\n' }}"
    "{%- for part in message.content -%}"
    "{% if part.type == 'audio' %}<|audio_start|><|audio_pad|><|audio_end|>"
    "{% else %}{{ part.text }}{% endif %}"
    "{%- endfor -%}"
    "{%- endfor -%}"
)


def build(directory: Path, *, seed: int = 0) -> Path:
    """Write a model that says something else about other audio, in another language and context."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    trained.train_from_iterator([*TEXTS, "language Japanese English None"], trainer)
    trained.add_tokens([AddedToken("<asr_text>", special=False, normalized=False)])
    trained.add_special_tokens([AddedToken(mark, normalized=False) for mark in MARKS])
    make: Any = PreTrainedTokenizerFast
    tokenizer = make(
        tokenizer_object=trained,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=dict(
            zip(("audio_bos_token", "audio_token", "audio_eos_token"), AUDIO, strict=True)
        ),
    )
    ids = tokenizer.get_vocab()
    processor: Any = Qwen3ASRProcessor(
        feature_extractor=Qwen3ASRFeatureExtractor(),  # type: ignore[no-untyped-call]
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    ends = [ids["<|endoftext|>"], ids["<|im_end|>"]]
    config = Qwen3ASRConfig(
        audio_config={
            "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32,
            "d_model": 16, "output_dim": 32, "downsample_hidden_size": 8,
        },
        text_config={
            "vocab_size": len(ids), "hidden_size": 32, "intermediate_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "head_dim": 16, "initializer_range": 0.3,
        },
        audio_token_id=ids["<|audio_pad|>"], eos_token_id=ends, pad_token_id=ends[1],
        initializer_range=0.3,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = Qwen3ASRForConditionalGeneration(config)
    with torch.no_grad():
        embeddings: Any = model.get_input_embeddings().weight
        # Nothing is said but whole letters, and the end, which takes the place of a common one.
        for token in range(len(ids)):
            text = tokenizer.decode([token])
            if token >= ids["<asr_text>"] or not text.isprintable() or "\ufffd" in text:
                embeddings[token] *= 0.05
        embeddings[ends[1]] = 1.05 * embeddings[ids[COMMON]]
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=ends[1])  # type: ignore[no-untyped-call]
    model.save_pretrained(directory)
    processor.save_pretrained(directory)
    return directory
