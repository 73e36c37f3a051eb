"""Products of float32 by oneDNN are products, and everything else is as it was."""

import os
import subprocess
import sys

import pytest
import torch

from galgame_asr.families.common import products

SIZES = [(7, 5, 3), (1, 128, 512), (300, 128, 96), (40, 1300, 8)]


@pytest.fixture(autouse=True)
def onednn() -> None:
    products.use_onednn()


@pytest.mark.parametrize(("rows", "inner", "columns"), SIZES)
@pytest.mark.parametrize("transposed", [False, True])
def test_products_and_gradients(rows: int, inner: int, columns: int, transposed: bool) -> None:
    """As in float64 up to rounding, for layers with and without bias and transposed sides."""
    draw = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(inner, columns)
    data = torch.randn((inner, rows) if transposed else (rows, inner), generator=draw)
    data.requires_grad_()
    exact = torch.nn.Linear(inner, columns, dtype=torch.float64)
    exact.load_state_dict(layer.state_dict())
    exact_data = data.detach().double().requires_grad_()
    for module, side in ((layer, data), (exact, exact_data)):
        output = module(side.t() if transposed else side)
        (output.square().sum() + (side.t() @ side).sum() + side.mm(side.t()).sum()).backward()
    for found, expected in [
        (data.grad, exact_data.grad),
        (layer.weight.grad, exact.weight.grad),
        (layer.bias.grad, exact.bias.grad),
    ]:
        assert found is not None
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)


def test_scaled_sums() -> None:
    """`addmm` with factors, and with a whole matrix to add."""
    left, right, added = torch.rand(4, 6), torch.rand(6, 5), torch.rand(4, 5)
    for bias in (added, added[0], added[:, :1]):
        found = torch.addmm(bias, left, right, beta=0.5, alpha=2)
        torch.testing.assert_close(found, 0.5 * bias + 2 * (left @ right))


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.int64])
def test_other_types(kind: torch.dtype) -> None:
    """Are computed as before."""
    left, right = torch.ones(3, 4).to(kind), torch.ones(4, 2).to(kind)
    assert torch.equal(left @ right, torch.full((3, 2), 4).to(kind))


def test_nothing_to_sum() -> None:
    """Empty sides give zeros or nothing."""
    assert torch.equal(torch.ones(2, 0) @ torch.ones(0, 3), torch.zeros(2, 3))
    assert (torch.ones(0, 3) @ torch.ones(3, 2)).shape == (0, 2)


def test_sizes_that_do_not_fit_are_an_error() -> None:
    """And not memory read beyond its end."""
    with pytest.raises(RuntimeError, match="size"):
        torch.ones(2, 3).mm(torch.ones(4, 5))
    with pytest.raises(RuntimeError):
        torch.addmm(torch.ones(5), torch.ones(2, 3), torch.ones(4, 5))


def test_onednn_computes_them_with_avx2() -> None:
    """By its own account; a setting that a library may ignore is read back."""
    code = (
        "import torch; from galgame_asr.families.common import products; products.use_onednn(); "
        "torch.nn.Linear(64, 32)(torch.ones(100, 64)).sum().backward()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"ONEDNN_VERBOSE": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    used = [line for line in done.stdout.splitlines() if ",exec,cpu," in line]
    assert len(used) >= 2  # forward, and the gradient of the weights
    assert all("avx2" in line or "gemm:jit" in line for line in used)
