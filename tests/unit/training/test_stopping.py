"""What a phase that was stopped leaves behind."""

from pathlib import Path

import pytest

from galgame_asr.messages.errors import DataError, GalgameAsrError, InterruptionError
from galgame_asr.training.stopping import REQUEST, STOPPED, noted


@pytest.mark.parametrize(
    ("error", "states", "marked"),
    [
        (InterruptionError("stopped"), ["state-3"], True),
        (InterruptionError("stopped"), [], False),
        (DataError("broken"), ["state-3"], False),
        (None, ["state-3"], False),
    ],
)
def test_only_what_goes_on_from_a_state_is_said_to_be_stopped(
    tmp_path: Path, error: GalgameAsrError | None, states: list[str], *, marked: bool
) -> None:
    """Neither before the first state, nor after an error; what the run before left goes first."""
    for name in states:
        (tmp_path / name).mkdir()
    for name in (REQUEST, STOPPED):
        (tmp_path / name).touch()
    raised = None
    try:
        with noted(tmp_path):
            assert not {REQUEST, STOPPED} & {path.name for path in tmp_path.iterdir()}
            if error:
                raise error
    except GalgameAsrError as caught:
        raised = caught
    assert raised is error
    assert (tmp_path / STOPPED).exists() == marked
