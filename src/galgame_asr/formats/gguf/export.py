"""Fun-ASR-Nano as two GGUF files, for FunASR's llama.cpp runtime.

    llama-funasr-cli --enc encoder.gguf -m llm.gguf -a speech.wav

The runtime computes FunASR's own features; its prompt is fixed to 语音转写：, without
language and hotwords (runtime/llama.cpp/fun-asr-nano/funasr-cli/funasr-cli.cpp of
https://github.com/modelscope/FunASR). An adaptor that stacks frames is written all the same,
for who reads the files with something else: the runtime cannot run it.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from galgame_asr.core.reader import SAMPLE_RATE_HZ
from galgame_asr.families.common.family import FrontEnd
from galgame_asr.formats.common import checkpoint as fun_asr_nano_exportable
from galgame_asr.formats.common.gguf import largest_difference, write_encoder, write_llm
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import ExportError
from galgame_asr.runtimes.extras import require
from galgame_asr.runtimes.gguf import ENCODER, LLM
from galgame_asr.runtimes.gguf_files import FRONT_END, Reader, encoder_tensors, llm_tensors

RUNTIME = "gguf"
PACKAGE = "gguf"
CLI = "llama-funasr-cli"
RATE = "funasr.adp.downsample_rate"
# What the runtime takes for granted: section of config.yaml, key, value, FunASR's default.
GRANTED = (
    ("audio_encoder_conf", "normalize_before", True, True),
    ("audio_encoder_conf", "sanm_shfit", 0, 0),
    ("audio_adaptor_conf", "use_low_frame_rate", True, False),
    ("frontend_conf", "n_mels", 80, 80),
    ("frontend_conf", "lfr_m", 7, 1),
    ("frontend_conf", "lfr_n", 6, 1),
    ("frontend_conf", "cmvn_file", None, None),
    *(("frontend_conf", key, value, value) for key, value in FRONT_END.items()),
)


def export(checkpoint: Path, output: Path, precision: str) -> None:
    """Write encoder.gguf and llm.gguf.

    Args:
        checkpoint: a model directory in FunASR's layout.
        output: an empty directory; the same checkpoint gives the same bytes.
        precision: of matrices, float32, float16 or q8_0. Vectors and the encoder's memory
            kernels are float32 always; so are, with q8_0, matrices whose rows are no multiple
            of 32 values, such as the first of the encoder.

    Raises:
        ConfigError: the package gguf is not installed.
        ExportError: the checkpoint is of another family, or none that the runtime computes.
    """
    require("gguf", extra="export")
    nano = fun_asr_nano_exportable.load(checkpoint, "gguf", GRANTED)
    if (rate := nano.model.audio_adaptor.k) != 1:
        log.warning(
            "%s stacks %d frames in its adaptor (downsample_rate): %s, which knows 1 alone, cannot "
            "run this export",
            checkpoint,
            rate,
            CLI,
        )
    write_encoder(output / ENCODER, nano.model, nano.frontend, precision)
    write_llm(output / LLM, nano.model.llm, nano.tokenizer, precision)


def front_end(_checkpoint: Path) -> FrontEnd | None:
    """None: the runtime computes FunASR's features."""
    return None


def differences(checkpoint: Path, directory: Path) -> Mapping[str, float]:
    """The largest difference of a tensor in each file, dequantised; see `Exporter`."""
    state = fun_asr_nano_exportable.load(checkpoint, "gguf").model.state_dict()
    encoder, llm = Reader(directory / ENCODER), Reader(directory / LLM)
    names = {name.removeprefix("llm."): name for name in state if name.startswith("llm.")}
    return {
        ENCODER: largest_difference(encoder_tensors(encoder), state),
        LLM: largest_difference(
            ((f"llm.{name}", tensor) for name, tensor in llm_tensors(llm, names)), state
        ),
    }


def say(directory: Path, audios: Sequence[NDArray[np.float32]]) -> list[str] | None:
    """What FunASR's own command says about 16 kHz mono samples, with the prompt 语音转写：.

    None where it is not on PATH, or cannot run the adaptor.

    Raises:
        ExportError: it fails.
    """
    cli = shutil.which(CLI)
    if cli is None or Reader(directory / ENCODER).value(RATE) != 1:
        return None
    texts = []
    with tempfile.TemporaryDirectory() as place:
        wav = Path(place) / "speech.wav"
        for audio in audios:
            sf.write(wav, audio, SAMPLE_RATE_HZ, subtype="FLOAT")
            files = ["--enc", str(directory / ENCODER), "-m", str(directory / LLM), "-a", str(wav)]
            done = subprocess.run([cli, *files], capture_output=True, check=False)
            if done.returncode:
                told = done.stderr.decode(errors="replace").strip()[-500:]
                raise ExportError(
                    f"{CLI} cannot run {directory} (status {done.returncode}): {told}"
                )
            texts.append(done.stdout.decode(errors="replace").strip())
    return texts
