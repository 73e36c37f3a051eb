"""Device, precision and reproducibility of a process that runs a model."""

import os

import torch

from galgame_asr.console import log
from galgame_asr.errors import ConfigError
from galgame_asr.params.compute import ComputeParams

# Libraries choose vector instructions by CPU, and wider ones add in another order.
# Each reads its variable when it first computes, so `set_up` comes before that.
FIXED_INSTRUCTIONS = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # oneDNN
    "MKL_CBWR": "AVX2",  # MKL's conditional numerical reproducibility
    "CT2_FORCE_CPU_ISA": "AVX2",  # CTranslate2
}


def set_up(params: ComputeParams) -> None:
    """Prepare this process for models; call it before anything computes."""
    if params.reproducible:
        os.environ.update(FIXED_INSTRUCTIONS)
        torch.use_deterministic_algorithms(True)
    if params.cpu_threads is not None:
        torch.set_num_threads(params.cpu_threads)


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


def use_bf16(params: ComputeParams, device: torch.device) -> bool:
    """Whether models run under bf16 autocast; says why.

    Raises:
        ConfigError: bf16 is asked for on a GPU without it.
    """
    on_gpu = device.type == "cuda"
    able = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    if params.precision == "bf16" and on_gpu and not able:
        raise ConfigError("compute.precision is bf16, but this GPU lacks it; use float32")
    chosen = params.precision == "bf16" or (params.precision == "auto" and able)
    reason = {
        "auto": "the GPU has bf16" if able else "no fast bf16 here",
        "float32": "as set",
        "bf16": "as set",
    }[params.precision]
    log.info("precision %s (%s)", "bf16 autocast" if chosen else "float32", reason)
    return chosen


def autocast(params: ComputeParams, device: torch.device) -> torch.autocast:
    """The context that decoding runs in: bf16 autocast if `use_bf16`, else nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=use_bf16(params, device))
