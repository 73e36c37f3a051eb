"""The device that the tests are about."""

import pytest
import torch

NO_DEVICE = "needs a CUDA device: make gpu on a machine with an NVIDIA GPU"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --device, for `pytest tests/gpu` alone."""
    parser.addoption("--device", choices=("cuda", "cpu"), default="cuda")


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """A CUDA device, or the CPU where that is asked for."""
    chosen: str = request.config.getoption("--device", default="cuda")
    if chosen == "cuda" and not torch.cuda.is_available():
        pytest.skip(NO_DEVICE)
    return chosen
