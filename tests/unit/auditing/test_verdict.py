"""The verdict of an audit stands in files that people keep."""

from pathlib import Path

import pandas as pd

from galgame_asr.auditing.verdict import exclude, worst
from galgame_asr.splitting import exclusions

ROWS = pd.DataFrame(
    {
        "id": ["u1", "u2", "u3", "u4"],
        "label": ["葵", "凛", "海", "公園"],
        "hypotheses": [["葵"], ["海"], [""], ["先輩"]],
        "kana_cer": [[0.0], [1.0], [1.0], [2.0]],
        "flags": [[], ["label_long"], ["disagrees", "not_speech"], ["disagrees"]],
    }
)


def test_what_is_flagged_is_added_and_all_else_stays(tmp_path: Path) -> None:
    """The lines that people wrote stay byte for byte; a second time adds nothing."""
    file = tmp_path / "vn.tsv"
    file.write_text(before := "id\treason\nu4\tnoise\n\nx\tlate")
    assert exclude(tmp_path, "vn", ROWS, {"disagrees"}) == 1
    assert file.read_text() == f"{before}\nu3\taudit: disagrees, not_speech\n"
    assert exclude(tmp_path, "vn", ROWS, {"disagrees"}) == 0
    assert set(exclusions.read(tmp_path, ["vn"])["vn"]) == {"u3", "u4", "x"}


def test_a_new_file_has_its_head(tmp_path: Path) -> None:
    """In a folder that was not there; and there is none where nothing is flagged."""
    assert exclude(tmp_path / "left_out", "vn", ROWS, {"label_long"}) == 1
    assert exclusions.read(tmp_path / "left_out", ["vn"]) == {"vn": {"u2": "audit: label_long"}}
    assert exclude(tmp_path / "none", "vn", ROWS, set()) == 0
    assert not (tmp_path / "none").exists()


def test_the_worst_come_first() -> None:
    """Of what is flagged alone, with what was heard."""
    lines = list(worst(ROWS, 2))
    assert lines[0] == "u4  disagrees"
    assert "    heard  先輩  (200%)" in lines
    assert "    heard  海  (100%)" in lines
    assert len(lines) == 6
