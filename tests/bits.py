"""What one CPU computes, as hashes: python -m tests.bits.

A few of each kind of computation that the embedded default does, in its sizes. Two CPUs that
print the same make the same run; `tests/pipeline/test_other_cpus.py` asks an emulated one.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from galgame_asr.base import tiny_fun_asr_nano as fun_asr_nano_tiny
from galgame_asr.base.built import TinyBase
from galgame_asr.core.files import content_hash
from galgame_asr.core.params import load, parse
from galgame_asr.core.reader import ShardReader
from galgame_asr.corpora.synthetic import fetch as synthetic
from galgame_asr.corpora.synthetic import sounds
from galgame_asr.corpora.synthetic.params import Synthetic
from galgame_asr.decoding import transcripts
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.decoding.transcribe import Task, transcribe
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams, MachineParams
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.scoring.summary import summarise
from galgame_asr.scoring.utterances import score
from galgame_asr.scoring.words import Words
from galgame_asr.text.params import NormaliseParams
from galgame_asr.training.noise import cut, mixed
from galgame_asr.training.params import CommonParams, PhaseParams
from galgame_asr.training.trainer import Phase, train
from tests import nanos
from tests.conftest import REPOSITORY
from tests.models import JAPANESE, TEXTS, noise
from tests.phases import values, write_rows

PARAMS = REPOSITORY / "params.yaml"


def main() -> None:
    """Print the hashes as one line of JSON."""
    params = load(ComputeParams, "compute", file=PARAMS)
    compute.set_up(params)
    found: dict[str, Any] = {
        "own_bits": compute.machine(params).own_bits, "speech": _speech(), "noise": _noise(),
    }  # fmt: skip
    with TemporaryDirectory() as temporary:
        found |= _model(Path(temporary), params)
    print(json.dumps(found))


def _hash(content: bytes | str) -> str:
    data = content.encode() if isinstance(content, str) else content
    return hashlib.md5(data).hexdigest()


def _speech() -> str:
    """Two lines with music and two without."""
    lines = synthetic.compose(load(Synthetic, "corpora.vn", file=PARAMS))
    chosen = [line for line in lines if line.chords_hz][:2]
    chosen += [line for line in lines if not line.chords_hz][:2]
    return _hash(b"".join(map(synthetic.render, chosen)))


def _noise() -> str:
    """Clips of music and noise, and speech over one."""
    clips = [synthetic.render(clip) for clip in sounds.clips(seed=3, count=4)]
    heard = mixed(noise(3.0), cut(noise(2.0, 1), 48_000, 0.3), 7.3)
    return _hash(b"".join([*clips, heard.tobytes()]))


def _model(root: Path, params: ComputeParams) -> dict[str, str]:
    """A phase of three steps in which all learns, and what the model then says."""
    base = load(TinyBase, "base.built.tiny", file=PARAMS)
    fun_asr_nano_tiny.build(root / "base", base, texts=TEXTS, seed=0)
    nanos.add_ctc(root / "base")
    rows = write_rows(root)
    common = load(CommonParams, "train.common", file=PARAMS)
    machine = load(MachineParams, "machine", file=PARAMS)
    phase_params = parse(PhaseParams, values(epochs=1), "phase")
    phase = Phase(
        family=fun_asr_nano.load(root / "base"),
        common=dataclasses.replace(common, batch_frames=350, log_steps=2),
        machine=machine,
        params=phase_params,
        train_rows=rows[:8],
        dev_rows=rows[8:],
        reader=ShardReader(root),
        checkpoints=(100,),
        device=torch.device("cpu"),
        precision="float32",
        directory=root / "phase",
        logs=root / "logs",
    )
    phase.directory.mkdir()
    train(phase)
    checkpoint = phase.directory / "p100"
    decode = dataclasses.replace(load(DecodeParams, "decode", file=PARAMS), max_new_tokens=12)
    task = Task(
        "fun_asr_nano", checkpoint, root, JAPANESE, decode, params, machine.decode_batch_frames
    )
    said = transcribe(rows, task)
    decoded = dict(zip(transcripts.keys(rows), said, strict=True))
    rules = load(NormaliseParams, "score.normalise", file=PARAMS)
    return {
        "features": _hash(phase.family.features(noise(3.0)).numpy().tobytes()),
        "base": content_hash([root / "base"]),
        "losses": _hash((phase.directory / "log.tsv").read_text()),
        "weights": content_hash([checkpoint]),
        "texts": _hash(repr(said)),
        "scores": _hash(json.dumps(summarise(score("test", rows, decoded, rules, Words())))),
    }


if __name__ == "__main__":
    main()
