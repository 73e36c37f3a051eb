"""Device, precision and reproducibility of a process that runs a model."""

import ctypes
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from galgame_asr.core.files import write_text
from galgame_asr.families.common import products
from galgame_asr.families.common.params import ComputeParams
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import ConfigError

Precision = Literal["float32", "bf16", "fp16"]

# Libraries choose vector instructions by CPU, and others add in another order.
# Each reads its variable when it first computes, so `set_up` comes before that.
FIXED_INSTRUCTIONS = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # oneDNN
    # MKL takes this mode on every maker's CPU, and AVX2 on Intel's alone: elsewhere that is AUTO.
    "MKL_CBWR": "COMPATIBLE",
    "CT2_FORCE_CPU_ISA": "AVX2",  # CTranslate2
    "CT2_USE_MKL": "0",  # which it would take on Intel's CPUs alone
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # what torch asks for on CUDA
}
# Of mkl_types.h: what to ask for, and the answer for COMPATIBLE.
MKL_CBWR_BRANCH, MKL_CBWR_COMPATIBLE = 1, 3


def set_up(params: ComputeParams, record: Path | None = None) -> None:
    """Prepare this process for models; call it before anything computes.

    Where numbers will not be those of other machines, one line says why.

    Args:
        params: what is asked for.
        record: a file to write `machine` to.
    """
    if params.reproducible:
        os.environ.update(FIXED_INSTRUCTIONS)
        # As use_deterministic_algorithms, which imports torch._inductor too. CUDA has operations
        # without a deterministic form, such as the gradient of the CTC loss.
        torch.set_deterministic_debug_mode("warn" if _on_cuda(params) else "error")
        if _has_onednn():
            products.use_onednn()
    # It plans anew for every shape of a batch, and speech has many.
    torch.backends.cuda.enable_cudnn_sdp(False)
    if params.cpu_threads is not None:
        torch.set_num_threads(params.cpu_threads)
    here = machine(params)
    if params.reproducible and here.own_bits:
        log.warning("numbers may differ from those of other machines: %s", here.own_bits)
    if record is not None:
        write_text(record, json.dumps(asdict(here), ensure_ascii=False, indent=1) + "\n")


@dataclass(frozen=True)
class Machine:
    """What a run was made on."""

    cpu: str
    architecture: str
    torch: str  # its version
    # Why the bits are this machine's own; None where every x86-64 CPU with AVX2 gives them.
    own_bits: str | None


def machine(params: ComputeParams) -> Machine:
    """This machine, and what is in force on it, as read back from the libraries."""
    return Machine(cpu_name(), platform.machine(), torch.__version__, _own_bits(params))


@dataclass(frozen=True)
class Used:
    """What `auto` and null became, which weights trained on it depend on."""

    device: str
    cpu_threads: int
    precision: Precision

    def __str__(self) -> str:
        return f"{self.device}, {self.cpu_threads} CPU threads, {self.precision}"


def used(device: torch.device, chosen: Precision) -> Used:
    """What this process computes with."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return Used(name, torch.get_num_threads(), chosen)


def cpu_name() -> str:
    """What the CPU calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _own_bits(params: ComputeParams) -> str | None:
    architecture = platform.machine()
    instructions, mode = torch.backends.cpu.get_cpu_capability(), _mkl_mode()
    reasons = {
        "compute.reproducible is false": not params.reproducible,
        "models run on a GPU": _on_cuda(params),
        "compute.cpu_threads is null, so sums depend on the cores": params.cpu_threads is None,
        f"the CPU is {architecture}, not x86-64": architecture not in ("x86_64", "AMD64"),
        f"torch runs {instructions} instructions, not AVX2": instructions != "AVX2",
        "torch has no oneDNN": not _has_onednn(),
        f"MKL is not in its mode COMPATIBLE, {MKL_CBWR_COMPATIBLE}, but in {mode}": (
            mode != MKL_CBWR_COMPATIBLE
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _mkl_mode() -> int | str:
    """The mode that the MKL in torch is in, as its `mkl_serv_cbwr_get` numbers them."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        return int(ctypes.CDLL(str(library)).mkl_serv_cbwr_get(MKL_CBWR_BRANCH))
    except (OSError, AttributeError):
        return "none: this torch has no MKL that tells"


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def _on_cuda(params: ComputeParams) -> bool:
    return params.device != "cpu" and torch.cuda.is_available()


def device(params: ComputeParams) -> torch.device:
    """The device that models run on; says which and why.

    Raises:
        ConfigError: a CUDA device is asked for and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if params.device == "cuda" and not has_cuda:
        raise ConfigError("compute.device is cuda, but torch sees no CUDA device; use auto or cpu")
    if params.device != "cpu" and has_cuda:
        log.info("device cuda: %s", torch.cuda.get_device_name())
        return torch.device("cuda")
    log.info(
        "device cpu (%s): %d threads, %s instructions",
        "as set" if params.device == "cpu" else "torch sees no CUDA device",
        torch.get_num_threads(), torch.backends.cpu.get_cpu_capability(),
    )  # fmt: skip
    return torch.device("cpu")


def precision(params: ComputeParams, device: torch.device) -> Precision:
    """What models compute in; says why.

    Raises:
        ConfigError: bf16 is asked for on a GPU without it.
    """
    on_gpu = device.type == "cuda"
    has_bf16 = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    chosen: Precision
    if params.precision != "auto":
        chosen, reason = params.precision, "as set"
    elif on_gpu:
        chosen = "bf16" if has_bf16 else "fp16"
        reason = "the GPU has bf16" if has_bf16 else "this GPU lacks bf16"
    else:
        chosen, reason = "float32", "no fast bf16 here"
    if chosen == "bf16" and on_gpu and not has_bf16:
        raise ConfigError("compute.precision is bf16, but this GPU lacks it; use fp16 or float32")
    log.info("precision %s (%s)", chosen if chosen == "float32" else f"{chosen} autocast", reason)
    return chosen


def autocast(device: torch.device, chosen: Precision) -> torch.autocast:
    """The context that models run in: autocast, or nothing in float32."""
    return torch.autocast(device.type, _dtype(chosen), enabled=chosen != "float32")


def cast(model: nn.Module, chosen: Precision) -> None:
    """Cast once what `autocast` would cast at every token: weights of products, for decoding.

    The numbers are the same, bit for bit.
    """
    if chosen == "float32":
        return
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            for name, parameter in module.named_parameters(recurse=False):
                # Another parameter: the present one may be an embedding's too.
                setattr(module, name, nn.Parameter(parameter.to(_dtype(chosen)), False))


def _dtype(chosen: Precision) -> torch.dtype:
    return {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[chosen]
