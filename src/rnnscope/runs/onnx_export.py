"""A model as ONNX graphs that run without torch: one for a single step, one for a whole window.

step.onnx    ids (batch) int64, each part of the state (batch, hidden) float32  ->  logits (batch, V), the next state
window.onnx  ids (time, batch), state  ->  logits (time, batch, V), the final state

The window is a Scan over the step, so it computes the same products in the same order. A zero state begins a text.
"""

import io
import warnings
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from rnnscope.errors import UserError
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.stepping import Stepper

OPSET = 18
ONE_FILE = 1_500_000_000  # bytes of weights; a protocol buffer holds 2 GB, larger weights go to a separate file


class StepGraph(nn.Module):
    """One step of a model, with every part of the state as an input and an output, as ONNX needs it."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model, self.stepper = model, Stepper(model, None, 1)

    def forward(self, ids: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        parts = self.model.cell.state_parts
        self.stepper.state = [state[at : at + parts] for at in range(0, len(state), parts)]
        return self.stepper.step(ids), *chain(*self.stepper.state)


def onnx_package() -> Any:
    """Return the onnx package, an optional dependency.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError("format=onnx needs onnx, which is not installed: pip install 'rnnscope[onnx]'") from error
    return onnx


def export_onnx(model: LanguageModel, folder: Path) -> list[Path]:
    """Write step.onnx and window.onnx to the existing `folder` and return their paths.

    Raises:
        UserError: without the onnx package, and for a cell that ONNX has no operators for.
    """
    onnx = onnx_package()
    step = trace_step(model, onnx)
    graphs = {"step": step, "window": scan(step, onnx)}
    for name, graph in graphs.items():
        onnx.checker.check_model(graph.SerializeToString() if graph.ByteSize() < ONE_FILE else graph)
        large = graph.ByteSize() >= ONE_FILE
        onnx.save(graph, folder / f"{name}.onnx", save_as_external_data=large, location=f"{name}.weights")
    return [folder / f"{name}.onnx" for name in graphs]


def trace_step(model: LanguageModel, onnx: Any) -> Any:
    """Return one step of a model as an ONNX model."""
    state = [part for layer in model.zero_state(2) for part in layer]
    names = [f"state{index}" for index in range(len(state))]
    after = [f"new_{name}" for name in names]
    inputs = torch.zeros(2, dtype=torch.long), *state
    written, export = io.BytesIO(), cast(Any, torch.onnx).export
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of this exporter, which needs only onnx: that there is a newer one
        try:
            export(
                StepGraph(model).eval(),
                inputs,
                written,
                input_names=["ids", *names],
                output_names=["logits", *after],
                dynamic_axes={name: {0: "batch"} for name in ("ids", "logits", *names, *after)},
                opset_version=OPSET,
                dynamo=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"model.cell={model.cell.name} cannot be exported to ONNX ({reason})") from error
    return onnx.load_from_string(written.getvalue())


def scan(step: Any, onnx: Any) -> Any:
    """Return an ONNX model that applies `step` to each row of `ids` (time, batch); the weights stay outside the loop."""
    helper, state = onnx.helper, [value.name for value in step.graph.input[1:]]
    body = onnx.GraphProto()
    body.CopyFrom(step.graph)
    del body.initializer[:], body.input[:], body.output[:]
    body.input.extend([*step.graph.input[1:], step.graph.input[0]])  # Scan wants the state first
    body.output.extend([*step.graph.output[1:], step.graph.output[0]])
    outer = [f"first_{name}" for name in state]
    last = [f"last_{name}" for name in state]
    node = helper.make_node("Scan", [*outer, "window"], [*last, "scores"], num_scan_inputs=1, body=body)
    size = step.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    inputs = [helper.make_tensor_value_info("window", onnx.TensorProto.INT64, ["time", "batch"])]
    outputs = [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["time", "batch", size])]
    inputs += _states(step.graph.input[1:], outer, helper, onnx)
    outputs += _states(step.graph.input[1:], last, helper, onnx)
    graph = helper.make_graph([node], "window", inputs, outputs, initializer=step.graph.initializer)
    return helper.make_model(graph, opset_imports=step.opset_import, ir_version=step.ir_version)


def _states(like: Sequence[Any], names: Sequence[str], helper: Any, onnx: Any) -> list[Any]:
    sizes = [value.type.tensor_type.shape.dim[1].dim_value for value in like]
    return [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", size])
        for name, size in zip(names, sizes, strict=True)
    ]
