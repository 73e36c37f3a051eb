"""The embedded corpus: speech rendered from sentences written for this project.

Four recipes. `vn` has lines in visual-novel style by several characters, some
over quiet music; `sequel` has the same lines with names that sound alike and are
written otherwise, which nobody can hear; `reading` has narration and dialogue read
in one neutral voice. All use the same small vocabulary, so that a tiny model can learn it
from scratch, and a recipe renders each sentence at most once. Voice: HTS voice
"Mei" (CC BY 3.0) through pyopenjtalk-plus. `noise` has no speech: clips of music and noise.
"""

import contextlib
import hashlib
import io
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from galgame_asr.core import processes
from galgame_asr.core.paths import NOT_SPEECH
from galgame_asr.corpora.synthetic import labels, ogg, sounds
from galgame_asr.corpora.synthetic.params import Synthetic
from galgame_asr.corpora.synthetic.sounds import CHORDS_HZ, SAMPLE_RATE_HZ, Clip, Sound, music
from galgame_asr.messages.errors import ConfigError
from galgame_asr.shards import folder as shards
from galgame_asr.shards.folder import Shard, Utterance

with contextlib.redirect_stdout(io.StringIO()):  # it advertises an optional extra
    import pyopenjtalk

RENDERED_HZ = 48_000  # what pyopenjtalk returns

# Words and templates. A template's {slots} are filled with every combination of words.
WORDS = {
    "name": ["葵", "凛", "美咲", "詩織"],
    "call": ["葵", "凛", "美咲", "詩織", "葵ちゃん", "凛ちゃん", "先輩"],
    "laugh": ["えへへ", "ふふっ"],
    "interjection": ["ねえ", "もう", "ん…"],
    "greeting": ["おはよう", "おかえり", "ありがとう", "ごめんね"],
    "place": ["公園", "屋上", "海"],
    "let_us": ["帰ろう", "遊ぼう", "歩こう"],
    "please": ["待って", "見て", "笑って"],
    "trait": ["かわいい", "やさしい", "ずるい"],
    "stretched": ["すごーい", "ずるーい", "だーいすき"],
}
DIALOGUE = [
    "{call}、{greeting}。",
    "{laugh}、{call}、{greeting}。",
    "{laugh}、{call}が好き。",
    "{laugh}、{call}は{trait}ね。",
    "{laugh}、{call}、{let_us}よ。",
    "{interjection}、{call}、{let_us}よ。",
    "{interjection}、{call}、{please}よ。",
    "{interjection}、{call}は{trait}ね。",
    "{place}で{let_us}よ、{call}。",
    "{stretched}、{call}！",
    "{call}のいじわる。",
    "{interjection}、{call}のいじわる。",
    "{greeting}、{call}。",
    "{call}、照れてるの？",
]
NARRATION = [
    "{name}と{place}で{let_us}。",
    "{place}で{name}が待ってる。",
    "{name}が{laugh}と笑ってる。",
    "{name}は{place}が好き。",
    "{name}の{place}は{trait}。",
]
TEMPLATES = {
    "vn": DIALOGUE,
    "sequel": DIALOGUE,
    # A narrator reads the dialogue too: the voice differs, the language hardly.
    "reading": NARRATION + DIALOGUE,
}
# As `sequel` writes the names.
SPELLINGS = {"葵": "碧", "凛": "鈴", "美咲": "海咲", "詩織": "栞"}


@dataclass(frozen=True)
class Voice:
    """One speaker made out of the single voice."""

    half_tones: float
    speed: float
    # Factor on all resonances: above 1 is a shorter vocal tract.
    formants: float


CHARACTERS = [
    Voice(half_tones=5.0, speed=1.30, formants=1.10),
    Voice(half_tones=7.0, speed=1.45, formants=1.16),
    Voice(half_tones=3.0, speed=1.30, formants=1.06),
    Voice(half_tones=-3.0, speed=1.40, formants=0.92),
]
VOICES = {
    "vn": CHARACTERS,
    "sequel": CHARACTERS,
    "reading": [Voice(half_tones=0.0, speed=1.25, formants=1.0)],
}
MUSIC_SHARE = {"vn": 0.25, "sequel": 0.25, "reading": 0.0}
MUSIC_BELOW_SPEECH_DB = 22.0


@dataclass(frozen=True)
class Line:
    """One utterance to render."""

    id: str
    text: str  # the label
    spoken: str  # what is said, in words that are known to be read rightly
    voice: Voice
    chords_hz: tuple[tuple[float, ...], ...]  # empty: no music
    over: Sound | None = None  # what drowns it, and how many decibels below it that is
    snr_db: float = 0.0


def fetch(name: str, corpus: Synthetic, directory: Path) -> list[Shard]:
    """Render a corpus into `directory` as NAME-000000.tar and so on; see `corpora.fetch`."""
    lines: Sequence[Line | Clip] = (
        sounds.clips(corpus.seed, corpus.utterances) if corpus.not_speech else compose(corpus)
    )

    def utterances(start: int) -> Iterator[Utterance]:
        rendered = pool.map(render, lines[start:], chunksize=8)
        for line, audio in zip(lines[start:], rendered, strict=True):
            yield Utterance(line.id, "ogg", audio, line.text if isinstance(line, Line) else None)

    with processes.pool() as pool:
        return shards.write(
            directory,
            name,
            utterances,
            shard_size=corpus.shard_size,
            total=len(lines),
            upstream_set=NOT_SPEECH if corpus.not_speech else None,
        )


def compose(corpus: Synthetic) -> list[Line]:
    """Draw the lines of a corpus, sorted by id; the same params give the same lines.

    Raises:
        ConfigError: more utterances are asked for than characters can say sentences.
    """
    lines = _drawn(corpus)
    texts = {line.id: line.text for line in lines}
    wrong = labels.corrupt(texts, corpus.corrupt_labels, corpus.seed)
    return [replace(line, text=wrong[line.id].text) if line.id in wrong else line for line in lines]


def _drawn(corpus: Synthetic) -> list[Line]:
    """What is said, with labels that are right."""
    recipe = corpus.recipe
    sentences, voices = all_sentences(recipe), VOICES[recipe]
    if corpus.utterances > len(sentences) * len(voices):
        raise ConfigError(
            f"recipe {recipe} has {len(sentences)} sentences, said by {len(voices)}; utterances "
            f"is {corpus.utterances}"
        )
    draw = random.Random(corpus.seed)
    lines: list[Line] = []
    said: dict[str, list[Voice]] = {sentence: [] for sentence in sentences}
    while len(lines) < corpus.utterances:
        again = f"\0{len(said[sentences[0]])}" if len(lines) >= len(sentences) else ""
        for spoken in draw.sample(sentences, min(corpus.utterances - len(lines), len(sentences))):
            text = respelled(spoken) if recipe == "sequel" else spoken
            voice = draw.choice([voice for voice in voices if voice not in said[spoken]])
            said[spoken].append(voice)
            chords = draw.sample(CHORDS_HZ, 3)
            music = draw.random() < MUSIC_SHARE[recipe]
            key = f"{recipe}\0{corpus.seed}\0{text}{again}".encode()
            id_ = hashlib.blake2b(key, digest_size=16).hexdigest()
            line = Line(id_, text, spoken, voice, tuple(chords) if music else ())
            lines.append(drowned(line, corpus))
    return sorted(lines, key=lambda line: line.id)


def drowned(line: Line, corpus: Synthetic) -> Line:
    """A line with what it is to be rendered over, drawn apart from the rest."""
    if corpus.noise_snr_db is None:
        return line
    draw = random.Random(f"{line.id} {corpus.seed}")
    return replace(line, over=sounds.sound(draw), snr_db=draw.uniform(*corpus.noise_snr_db))


def all_sentences(recipe: str) -> list[str]:
    """Every sentence of a recipe, once, in a fixed order."""
    sentences = []
    for template in TEMPLATES[recipe]:
        slots = [slot for slot in WORDS if f"{{{slot}}}" in template]
        for words in itertools.product(*(WORDS[slot] for slot in slots)):
            sentences.append(template.format(**dict(zip(slots, words, strict=True))))
    return list(dict.fromkeys(sentences))


def respelled(text: str) -> str:
    """A line with its names written as in `sequel`."""
    for name, other in SPELLINGS.items():
        text = text.replace(name, other)
    return text


def render(line: Line | Clip) -> bytes:
    """Speak one line, or play a clip: Ogg Vorbis, 16 kHz mono."""
    return encode(sounds.clip(line) if isinstance(line, Clip) else say(line))


def say(line: Line) -> NDArray[np.float64]:
    """Speak one line, over what it has to be heard over: samples at 16 kHz."""
    speech = speak(line.spoken, line.voice)
    if line.chords_hz:
        loudness = float(np.sqrt(np.mean(speech**2)))
        gain = loudness * 10 ** (-MUSIC_BELOW_SPEECH_DB / 20)
        speech = speech + gain * music(line.chords_hz, len(speech))
    return sounds.over(speech, line.over, line.snr_db) if line.over else speech


def encode(audio: NDArray[np.float64]) -> bytes:
    """Ogg Vorbis, 16 kHz mono."""
    # On whole 16-bit steps, differences in the last bit between CPUs vanish.
    pcm = np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16)
    return ogg.encode(pcm, SAMPLE_RATE_HZ)


def speak(text: str, voice: Voice) -> NDArray[np.float64]:
    """Render text in a voice: samples in [-1, 1] at 16 kHz, without silence at the ends."""
    # Playing the samples `formants` times faster raises formants, pitch and speed
    # alike; pitch and speed are asked for so much lower that only formants remain.
    half_tones = voice.half_tones - 12 * math.log2(voice.formants)
    # The first and last label are silence, which would take a fifth of the time.
    labels = pyopenjtalk.extract_fullcontext(text)[1:-1]
    audio, _ = pyopenjtalk.synthesize(labels, voice.speed / voice.formants, half_tones)
    audio = soxr.resample(audio, RENDERED_HZ * voice.formants, SAMPLE_RATE_HZ)
    scaled: NDArray[np.float64] = 0.7 * audio / np.abs(audio).max()
    return scaled
