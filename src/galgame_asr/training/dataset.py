"""Utterances as training examples, and what a process does of each step."""

import functools
import os
import zlib
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import soxr
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from galgame_asr.core.paths import NOT_SPEECH
from galgame_asr.core.processes import end_with_parent
from galgame_asr.core.reader import SAMPLE_RATE_HZ, SHORTEST, ShardReader
from galgame_asr.families.common import hotwords
from galgame_asr.families.common.batching import FRAMES_PER_S, num_frames
from galgame_asr.families.common.family import Example, Family
from galgame_asr.families.common.params import Prompt
from galgame_asr.messages.errors import DataError, GalgameAsrError, UtteranceError
from galgame_asr.training.batches import Division, Pick, at_speed
from galgame_asr.training.noise import Noise, cut
from galgame_asr.training.params import AugmentParams, TrainingParams
from galgame_asr.training.spec_augment import mask

# Audio whose length is this far from what its row says is not the audio that was checked.
LENGTH_ERROR_S, LENGTH_ERROR_SHARE = 0.5, 0.1


class Utterances:
    """Rows of a manifest, indexed by `Pick`, with their features cached while they fit."""

    def __init__(
        self,
        rows: pd.DataFrame,
        family: Family,
        reader: ShardReader,
        *,
        prompts: Sequence[Prompt],
        cache_bytes: int,
        augment: AugmentParams | None = None,
        noise: pd.DataFrame | None = None,
        seed: int = 0,
    ) -> None:
        self.rows = rows
        self.family, self.reader, self.prompts = family, reader, prompts
        self.augment, self.seed = augment, seed
        self._cache: dict[tuple[int, float], torch.Tensor] = {}
        self._cache_left = cache_bytes
        self._noise: Noise | None = None
        if augment and augment.noise:
            assert noise is not None
            self._cache_left //= 2  # the other half keeps clips
            self._noise = Noise(noise, reader, augment.noise, cache_bytes=self._cache_left)

    def __getitem__(self, pick: Pick) -> Example:
        """The example of a row in an epoch.

        What is drawn for it is a matter of utterance and epoch alone, so that there is
        no state to resume.

        Raises:
            DataError: a shard is missing, or a clip of noise is silent or no audio.
            UtteranceError: the audio cannot be decoded, is shorter than a frame or of another
                length than its row says.
        """
        row = self.rows.iloc[pick.row].to_dict()
        draw = zlib.crc32(f"{row['id']}\0{pick.epoch}".encode())
        features = self._features(pick, row, draw)
        if self.augment:
            features = mask(features, self.family.num_mels, self.augment, [self.seed, draw])
        key = f"{row['corpus']}/{row['id']}"
        prompt = self.prompts[draw % len(self.prompts)]
        sentences = row.get("sentences")  # None: no times are known
        return Example(
            key,
            features,
            hotwords.told(prompt, key, row["text"], pick.epoch),
            row["text"],
            float(row["duration_s"]) / pick.speed,
            [
                (one["start_s"] / pick.speed, one["end_s"] / pick.speed, one["text"])
                for one in (() if sentences is None else sentences)
            ],
        )

    def name(self, pick: Pick) -> str:
        """CORPUS/ID, as in its example."""
        row = self.rows.iloc[pick.row]
        return f"{row['corpus']}/{row['id']}"

    def frames(self, picks: Sequence[Pick]) -> NDArray[np.int64]:
        """Feature frames, as the rows announce them."""
        frames = num_frames(self.rows["duration_s"].to_numpy()[[pick.row for pick in picks]])
        return at_speed(frames, np.array([pick.speed for pick in picks]))

    def _features(self, pick: Pick, row: Mapping[Hashable, Any], draw: int) -> torch.Tensor:
        """The features of a row, kept where they are the same in every epoch."""
        key, seed = (pick.row, pick.speed), [self.seed, draw, 1]
        is_speech = NOT_SPEECH not in row["flags"]
        drawn = self._noise.draw(seed) if self._noise and is_speech else None
        if drawn is None and key in self._cache:
            return self._cache[key]
        audio = self._audio(row) if is_speech else self._piece(row, seed)
        if len(audio) * pick.speed < SHORTEST:
            raise UtteranceError(f"utterance {row['id']}: {len(audio)} samples, too few to hear")
        if pick.speed != 1:
            audio = soxr.resample(audio, pick.speed, 1.0)
        if self._noise and drawn:
            audio = self._noise.add(audio, drawn)
        features = self.family.features(audio)
        if drawn is None and is_speech and features.nbytes <= self._cache_left:
            self._cache_left -= features.nbytes
            self._cache[key] = features
        return features

    def _audio(self, row: Mapping[Hashable, Any]) -> NDArray[np.float32]:
        audio = self.reader.read_row(row)
        found_s, announced_s = len(audio) / SAMPLE_RATE_HZ, float(row["duration_s"])
        if abs(found_s - announced_s) > max(LENGTH_ERROR_S, LENGTH_ERROR_SHARE * announced_s):
            raise UtteranceError(
                f"utterance {row['id']}: its audio has {found_s:.2f} s, its row says "
                f"{announced_s:.2f}"
            )
        return audio

    def _piece(self, row: Mapping[Hashable, Any], seed: Sequence[int]) -> NDArray[np.float32]:
        """Of music or noise, a piece of the length that its row says, from a drawn place on."""
        length = round(float(row["duration_s"]) * SAMPLE_RATE_HZ)
        place = float(np.random.default_rng(list(seed)).random())
        return cut(self.reader.read_row(row), length, place)


@dataclass(frozen=True)
class MicroBatch:
    """What goes through the model at once."""

    index: int  # among those of the step, whoever does them
    ids: list[str]
    inputs: dict[str, Any]  # of the family's `training_batch`
    frames: int  # utterances x longest utterance
    num_labels: int  # tokens that its loss is the mean over; 0: it only keeps others company


@dataclass(frozen=True)
class Share:
    """What one process does of a step. All processes have equally many micro-batches.

    None at all is the share of a step of which nothing can be used.
    """

    micro_batches: list[MicroBatch]
    left_out: dict[str, str]  # what could not be used: CORPUS/ID -> why

    @property
    def num_labels(self) -> int:
        """Label tokens of all that counts."""
        return sum(batch.num_labels for batch in self.micro_batches)


class Shares(Dataset[Share | GalgameAsrError]):
    """One process's shares of steps, indexed by the utterances of a step.

    An error is an item too: raised in a process that reads ahead, it would come with a traceback.
    """

    def __init__(self, utterances: Utterances, division: Division, process: int) -> None:
        self.utterances, self.division, self.process = utterances, division, process

    def __getitem__(self, picks: Sequence[Pick]) -> Share | GalgameAsrError:
        """This process's share of a step, without what cannot be used."""
        try:
            return self._share(picks)
        except GalgameAsrError as error:
            return error

    def _share(self, picks: Sequence[Pick]) -> Share:
        parts = [
            [picks[index] for index in part]
            for part in self.division.cut(self.utterances.frames(picks))
        ]
        processes, left_out = self.division.processes, dict[str, str]()
        batches = []
        for turn in range(0, len(parts), processes):
            index = turn + self.process
            own = self._batch(index, parts[index], left_out) if index < len(parts) else None
            batches.append(own or self._spare(index, parts))
        return Share([batch for batch in batches if batch], left_out)

    def _batch(
        self, index: int, picks: Sequence[Pick], left_out: dict[str, str]
    ) -> MicroBatch | None:
        """A micro-batch of what can be used of it; None if that is nothing."""
        examples = []
        for pick in picks:
            try:
                examples.append(self.utterances[pick])
            except UtteranceError as error:
                left_out[self.utterances.name(pick)] = " ".join(str(error).split())
        if not examples:
            return None
        inputs = self.utterances.family.training_batch(examples)
        return MicroBatch(
            index,
            [example.id for example in examples],
            inputs,
            frames=self.division.padded(self.utterances.frames(picks)),
            num_labels=self.utterances.family.num_labels(inputs),
        )

    def _spare(self, index: int, parts: Sequence[Sequence[Pick]]) -> MicroBatch | None:
        """Another process's micro-batch, for the turn of one that has none; does not count.

        Processes that exchange gradients, or parts of the model, must go through it together.
        """
        for part in parts:
            if batch := self._batch(index, part, {}):
                return replace(batch, num_labels=0)
        return None


def refuse_long(
    family: Family, params: TrainingParams, train: pd.DataFrame, dev: pd.DataFrame
) -> None:
    """Refuse texts that the model cannot take, and speech that it hears only the beginning of.

    Raises:
        DataError: there are some.
    """
    for prompt in params.prompts:
        for rows in (train, dev):
            _refuse_long_texts(family, rows, hotwords.longest(prompt, list(rows["text"])))
    window_s, augment = family.window_s, params.augment
    if window_s is None:
        return
    speed = min(augment.speeds) if augment else 1.0
    for rows, slowest in ((train, speed), (dev, 1.0)):
        # Durations of compressed audio are right to a few samples.
        long = rows[rows["duration_s"] / slowest > window_s + 1 / FRAMES_PER_S]
        if not long.empty:
            raise DataError(
                f"{len(long)} utterances are longer than the {window_s:g} s that the model hears, "
                f"at speed {slowest:g}: {', '.join(long['id'][:3])}; set manifest.max_duration_s "
                f"to at most {window_s * slowest:g} and severity.too_long to drop, or augment "
                "less slowly"
            )


def refuse_silence(family: Family, params: TrainingParams, train: pd.DataFrame) -> None:
    """Refuse music and noise to learn silence by, where the model cannot.

    Raises:
        ConfigError: it cannot.
    """
    if train["flags"].map(lambda flags: NOT_SPEECH in flags).any():
        for prompt in params.prompts:
            family.refuse_silence(prompt)


def _refuse_long_texts(family: Family, rows: pd.DataFrame, prompt: Prompt) -> None:
    limit = functools.cache(functools.partial(family.max_text_tokens, prompt))
    timed = rows["sentences"] if prompt.timestamps and "sentences" in rows else [None] * len(rows)
    for id_, text, sentences in zip(rows["id"], rows["text"], timed, strict=True):
        texts = [text] if sentences is None else [one["text"] for one in sentences]
        most = limit(len(texts))
        # Most texts have fewer bytes already.
        if most is None or sum(len(text.encode()) for text in texts) <= most:
            continue
        if (count := sum(len(family.text_tokens(text)) for text in texts)) > most:
            raise DataError(
                f"utterance {id_}: its text has {count} tokens; {most} fit; leave it out"
            )


def read_ahead(shares: Shares, steps: Iterable[Sequence[Pick]], workers: int) -> Iterator[Share]:
    """Shares of steps in their order, read ahead by so many processes.

    Raises:
        GalgameAsrError: as for `Utterances`, but for single ones.
    """
    items = DataLoader(
        shares,
        batch_size=None,
        sampler=steps,
        collate_fn=_as_it_is,
        num_workers=workers,
        # They share the model's memory, and never touch a GPU.
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_start_reader,
    )
    for item in items:
        if isinstance(item, GalgameAsrError):
            raise item
        yield item


def _as_it_is(item: Any) -> Any:
    return item


def _start_reader(_worker: int) -> None:
    """Let a signal to the trainer's group reach the trainer alone, and end with it.

    A trainer that was asked to stop needs its readers yet; one that was killed leaves them the
    lock on its unfinished work, which they inherited.
    """
    os.setsid()
    end_with_parent()
