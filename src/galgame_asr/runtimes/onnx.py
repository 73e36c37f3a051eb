"""ONNX graphs, run by onnxruntime."""

from pathlib import Path
from typing import Any

import torch

from galgame_asr.messages.errors import ExportError
from galgame_asr.runtimes.extras import require


class Graph:
    """A graph of a file, run on the CPU with as many threads as torch has.

    Raises:
        ExportError: the file is missing or cannot be loaded.
    """

    def __init__(self, file: Path) -> None:
        onnxruntime = require("onnxruntime", extra="export")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have no base of their own
            raise ExportError(
                f"{file} cannot be loaded by onnxruntime: {error}; export it again"
            ) from None
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def __call__(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """All outputs for all inputs, in their order."""
        names = [given.name for given in self._session.get_inputs()]
        feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return [torch.from_numpy(output) for output in self._session.run(None, feed)]
