"""Files, time and memory of an export of the published model's dimensions.

868.858 M parameters with random weights, CTC branch included, in float32: on disk and in
memory they are as good as trained ones. Peak memory is resident, so mapped files count.

    python -m benchmarks.export_size sherpa float32 int8
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import psutil
import torch

from benchmarks import measure
from benchmarks.train_data import QWEN_TOKENS
from galgame_asr.base import fun_asr_nano_2512
from galgame_asr.base.fun_asr_nano_files import save_tokenizer
from galgame_asr.base.tiny_fun_asr_nano import train_tokenizer
from galgame_asr.families.fun_asr_nano.network import Model
from galgame_asr.families.fun_asr_nano.weights import read_config, save_weights
from galgame_asr.formats.common import exporter as exporting

TEXT = "えへへ、先輩が好き。ん…、一緒に帰ろうよ。"


def main() -> None:
    """Export in each precision, by a process of its own, and print what it took and wrote."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("format")
    parser.add_argument("precision", nargs="+")
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        since = measure.cpu_s()
        (precision,) = options.precision
        output = options.part / precision
        output.mkdir()
        exporting.load(options.format).export(options.part / "model", output, precision)
        measure.report_cpu(since)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "model")
        for precision in options.precision:
            words = ["-m", "benchmarks.export_size", options.format, precision, "--part", name]
            cost, _ = measure.command(sys.executable, *words, memory=resident)
            print(f"{options.format} {precision}: {cost}")
            for file in sorted(filter(Path.is_file, (folder / precision).rglob("*"))):
                path = file.relative_to(folder / precision)
                print(f"{file.stat().st_size / 1e6:10.1f} MB  {path}", flush=True)
            shutil.rmtree(folder / precision)


def write(directory: Path) -> None:
    """Write the model directory."""
    fun_asr_nano_2512.write_config(directory)
    tokenizer = train_tokenizer([TEXT], 600, whole=QWEN_TOKENS)
    save_tokenizer(tokenizer, directory / fun_asr_nano_2512.LLM_DIRECTORY)
    config = read_config(directory)
    config["llm_conf"]["llm_dtype"] = "fp32"
    # Its vocabulary is no part of the architecture.
    config["ctc_tokenizer_conf"] = None
    torch.manual_seed(0)
    save_weights(Model(**config, input_size=560, vocab_size=-1), directory / "model.pt")


def resident(process: psutil.Process) -> int:
    """Memory of a process in bytes, mapped files included."""
    size: int = process.memory_info().rss
    return size


if __name__ == "__main__":
    main()
