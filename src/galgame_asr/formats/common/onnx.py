"""ONNX files: traced from torch, quantised, and run by onnxruntime."""

import logging
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from galgame_asr.runtimes.extras import require

# The newest that releases of onnxruntime from 2022 (1.13) on read.
OPSET = 17
# protobuf ends at 2 GiB, of which the operators need some.
MAX_INLINE = 1_800_000_000


def write(
    module: nn.Module,
    file: Path,
    *,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    metadata: Mapping[str, object],
) -> None:
    """Trace a module; equal modules give equal bytes.

    Weights beyond what one file can hold go to STEM.data beside it.

    Args:
        module: what takes the inputs in their order, as it is in eval mode.
        file: STEM.onnx.
        inputs: an example of each, by name.
        outputs: their names.
        axes: of inputs and outputs whose size can be another one: axis -> name of its size.
        metadata: values by name, as they are told to whoever loads the file.
    """
    onnx = require("onnx", extra="export")
    # Weights of large graphs come as one file each, under names of their own.
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        traced = Path(folder) / "traced.onnx"
        with torch.no_grad(), warnings.catch_warnings():
            # That there is a newer way, which takes a minute for the smallest graph, and
            # that lengths would be fixed: what is fixed, a test with other lengths finds.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                str(traced),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
        graph = onnx.load(str(traced))
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, {key: str(value) for key, value in metadata.items()})
    size = sum(len(tensor.raw_data) for tensor in graph.graph.initializer)
    onnx.save_model(
        graph,
        str(file),
        save_as_external_data=size > MAX_INLINE,
        location=f"{file.stem}.data",
        size_threshold=1024,
    )


def quantise(source: Path, target: Path) -> None:
    """Write a graph with its matrices as bytes, one scale for each column.

    Unsigned: on CPUs without VNNI the products of signed ones saturate, and say another
    thing than on others
    (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
    """
    quantization = require("onnxruntime.quantization", extra="export")
    # It advises to optimise the graph before, which onnxruntime does when it loads it.
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        quantization.quantize_dynamic(
            str(source),
            str(target),
            op_types_to_quantize=["MatMul"],
            weight_type=quantization.QuantType.QUInt8,
            per_channel=True,
            extra_options={"MatMulConstBOnly": True},
        )
    finally:
        logger.setLevel(level)


def write_quantised_embedding(
    weight: torch.Tensor, file: Path, *, names: tuple[str, str], metadata: Mapping[str, object]
) -> None:
    """Write the look-up of rows of `weight` (V, H) as bytes, one scale for each row.

    Args:
        weight: float32.
        file: where to write.
        names: of the input, int64 (1, n), and the output, float32 (1, n, H).
        metadata: values by name.
    """
    onnx = require("onnx", extra="export")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    ids, rows = names
    scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
    quantised = (weight / scale).round().to(torch.int8)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["weight", ids], ["bytes"]),
            helper.make_node("Cast", ["bytes"], ["numbers"], to=float32),
            helper.make_node("Gather", ["scale", ids], ["scales"]),
            helper.make_node("Mul", ["numbers", "scales"], [rows]),
        ],
        "embedding",
        [helper.make_tensor_value_info(ids, onnx.TensorProto.INT64, [1, "n"])],
        [helper.make_tensor_value_info(rows, float32, [1, "n", weight.shape[1]])],
        [
            onnx.numpy_helper.from_array(quantised.numpy(), "weight"),
            onnx.numpy_helper.from_array(scale.numpy(), "scale"),
        ],
    )
    # The version of the format that belongs to the opset.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    onnx.save_model(model, str(file))


def largest_difference(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """How far tensors are from those expected, as a share of the largest value of these.

    A NaN stays one.
    """
    values = [((one - other).abs().max(), other.abs().max()) for one, other in pairs]
    difference, largest = torch.tensor(values).amax(0).tolist()
    return float(difference / largest)
