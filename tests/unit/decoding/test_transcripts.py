"""Files of transcripts hold what was decoded, and damage to them is noticed."""

import json
from pathlib import Path

import pytest

from galgame_asr.decoding import transcripts
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import DataError


def test_transcripts_round_trip(tmp_path: Path) -> None:
    """Raw text survives, line separators included; a repeated id or damage is an error."""
    path = tmp_path / "t.jsonl"
    texts = {"test": {"b": "二\u2028行", "a": ""}, "ood": {"a": '"'}}
    decoded = {
        name: {id_: Transcript(text, 3, -0.25) for id_, text in by_id.items()}
        for name, by_id in texts.items()
    }
    transcripts.write(path, decoded)
    assert transcripts.read(path) == decoded
    assert json.loads(path.read_text().splitlines()[0])["log_prob"] == -0.25
    path.write_text(path.read_text() * 2)
    with pytest.raises(DataError, match="repeats utterance a of set ood"):
        transcripts.read(path)
    path.write_text('{"set": "test"}\n')
    with pytest.raises(DataError, match=r"t\.jsonl:1 is no transcript"):
        transcripts.read(path)


@pytest.mark.parametrize("line", [b"\xff", b"[" * 100_000, b"[]", b'{"set": [], "id": "a"}'])
def test_damage_is_named_with_its_line(tmp_path: Path, line: bytes) -> None:
    """Bytes that are no text, depth without end, and values of other types."""
    path = tmp_path / "t.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(DataError, match=r"t\.jsonl:1 is no transcript"):
        transcripts.read(path)
