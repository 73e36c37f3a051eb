"""Matrix products of float32 through oneDNN instead of MKL.

The one mode of MKL's that gives the same bits on every maker's CPU uses no AVX and takes 2.5
times as long. oneDNN held to AVX2 takes as long as MKL does with AVX2, and splits its sums by
shape and number of threads alone, not by caches (`compute_blocking_heuristic_avx2_f32` in its
src/cpu/x64/matmul/brgemm_matmul_utils.cpp). torch has no switch for that, so two of its
operators get another kernel; linear layers and their gradients come down to these.
"""

import os
import warnings

import torch

# Kernels are made for a shape, and batches have many: the default of 1024 is a few steps of
# training, and making them again a tenth of its time.
KERNELS = "4096"

_library: torch.library.Library | None = None  # its kernels last as long as it does


def use_onednn() -> None:
    """Compute `mm` and `addmm` on the CPU by oneDNN in this process, from now on."""
    global _library  # noqa: PLW0603
    if _library is not None:
        return
    os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = KERNELS
    _library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that these operators had a kernel before
        _library.impl("mm", _mm, "CPU", allow_override=True)  # type: ignore[no-untyped-call]
        _library.impl("addmm", _addmm, "CPU", allow_override=True)  # type: ignore[no-untyped-call]


def _mm(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    if not _fit(left, right):
        return torch.bmm(left[None], right[None])[0]
    return _product(left, right, None)


def _addmm(
    bias: torch.Tensor,
    left: torch.Tensor,
    right: torch.Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
) -> torch.Tensor:
    whole = bias.shape == right.shape[1:] and bias.dtype == right.dtype and beta == alpha == 1
    if whole and _fit(left, right):
        return _product(left, right, bias)
    return beta * bias + alpha * _mm(left, right)


def _fit(left: torch.Tensor, right: torch.Tensor) -> bool:
    """What oneDNN is asked for: other types, empty tensors and errors are left to `bmm`."""
    float32 = left.dtype == right.dtype == torch.float32
    return float32 and left.shape[1:] == right.shape[:1] and 0 not in (*left.shape, *right.shape)


def _product(left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(left, right.t(), bias, "none", [], "")
    return found
