"""A split as FunASR's own trainer reads it, for those who want to use that.

One JSON line for each utterance, as in the examples of
https://github.com/FunAudioLLM/Fun-ASR: `messages` (system, user with the prompt and the
audio's path, assistant with the text), `speech_length` in frames of 10 ms and
`text_length` in tokens. FunASR leaves rows without the lengths out.
"""

import json
import os
from pathlib import Path

import pandas as pd
import soundfile as sf

from galgame_asr.core.files import atomic_directory, refuse_unwritable
from galgame_asr.core.reader import SAMPLE_RATE_HZ, ShardReader
from galgame_asr.families.common import hotwords
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.text_tokens import MARK
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.texts import refuse_marks
from galgame_asr.messages.console import Progress
from galgame_asr.messages.errors import DataError

FRAMES_PER_S = 100


def write(
    rows: pd.DataFrame, reader: ShardReader, model: Path, prompt: Prompt, directory: Path
) -> None:
    """Write utterances.jsonl and audio/NUMBER.wav (16 kHz, 16 bit) into a new directory.

    FunASR reads loose files only: this is the one place where audio leaves its
    shard. Paths in the list start with `directory`.

    Args:
        rows: the utterances.
        reader: of their shards.
        model: directory of the model, for its prompt and its tokenizer.
        prompt: what the model is told in training.
        directory: must not exist.

    Raises:
        DataError: the directory exists, an utterance cannot be read, or its text holds a mark
            of the model's, which FunASR does not take for text.
        ConfigError: the prompt holds one, or the directory cannot be written.
        CheckpointError: the model cannot be loaded.
    """
    refuse_marks(prompt, "FunASR's trainer")
    _refuse_marks(rows)
    if os.path.lexists(directory):  # also of a name that is too long
        raise DataError(f"{directory} exists; remove it, or name another folder")
    refuse_unwritable(directory)
    family = fun_asr_nano.load(model)
    with (
        atomic_directory(directory) as temporary,
        (temporary / "utterances.jsonl").open("w", encoding="utf-8") as stream,
        Progress("write", total=len(rows), unit="utterances") as progress,
    ):
        (temporary / "audio").mkdir()
        for number, row in enumerate(rows.to_dict("records")):
            name = f"audio/{number:08}.wav"
            audio = reader.read_row(row)
            sf.write(temporary / name, audio, SAMPLE_RATE_HZ, subtype="PCM_16")
            path = directory / name
            own = hotwords.told(prompt, f"{row['corpus']}/{row['id']}", row["text"])
            refuse_marks(own, "FunASR's trainer")
            instruction = family.model.get_prompt(list(own.hotwords), own.language, own.itn)
            user = f"{instruction}<|startofspeech|>!{path}<|endofspeech|>"
            line = {
                "key": row["id"],
                "messages": [
                    {"role": "system", "content": "You are a helpful assistant."},
                    {"role": "user", "content": user},
                    {"role": "assistant", "content": row["text"]},
                ],
                "speech_length": round(len(audio) / SAMPLE_RATE_HZ * FRAMES_PER_S),
                "text_length": len(family.text_tokens(row["text"])),
            }
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            progress.update(1)


def _refuse_marks(rows: pd.DataFrame) -> None:
    for row in rows[rows["text"].str.contains(MARK)].head(1).to_dict("records"):
        raise DataError(
            f"utterance {row['corpus']}/{row['id']}: FunASR's trainer would take what is written "
            f"in {row['text']!r} for a mark of the model's; take it out by manifest.clean, or "
            "leave the row out by manifest.severity.text_markup: drop"
        )
