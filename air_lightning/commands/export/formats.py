"""Files of exported programs: written, and read again to be compared with the model they come from."""

import io
import json
import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from air_lightning.commands.export.program import OUTPUTS, Program

METADATA = "metadata.json"
OPSET = 18
# Acklam's rational approximations to the normal quantile, in its middle and (of sqrt(-2 log p)) in its tails; to 1e-9
MIDDLE = (-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.3577518672690, -30.66479806614716,
          2.506628277459239)  # fmt: skip
MIDDLE_BELOW = (-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1.0)
TAIL = (-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
        2.938163982698783)  # fmt: skip
TAIL_BELOW = (0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1.0)
TAIL_AT = 0.02425


def write_torch(program: ExportedProgram, path: Path, facts: dict[str, str]) -> Program:
    """Write a `.pt2` file, with the facts as ``metadata.json`` in it; what it reads back as."""
    content = io.BytesIO()  # torch's own writer ends the process where the disk is full
    torch.export.save(program, content, extra_files={METADATA: json.dumps(facts)})
    path.write_bytes(content.getbuffer())
    return torch.export.load(path).module()


def write_onnx(program: ExportedProgram, path: Path, facts: dict[str, str]) -> Program:
    """Write an ONNX file, with the facts as its metadata; what ONNX Runtime makes of it.

    Errors:
        ValueError where packages are missing, or the program holds what ONNX does not know.
    """
    check_packages()
    onnx, runtime = import_module("onnx"), import_module("onnxruntime")
    # it warns of torchvision, which nothing here needs
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    table: dict[Callable[..., Any], Callable[..., Any]] = {
        torch.ops.prims.ndtri.default: quantile,
        torch.ops.prims.fmin.default: lesser,
    }
    try:
        exported = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, input_names=["images"], output_names=list(OUTPUTS),
            custom_translation_table=table, verbose=False,
        )  # fmt: skip
    except Exception as error:  # the exporter's own, of no common base
        raise ValueError(f"ONNX has no form of this model: {_reason(error)}; --format torch may do") from error
    assert exported is not None
    model = exported.model_proto
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, path)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(part) for part in session.run(list(OUTPUTS), {"images": images.numpy()}))

    return run


def check_packages() -> None:
    """ValueError unless what writes and checks ONNX files is installed."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"--format onnx needs {name}, which is not installed: pip install 'air-lightning[export]'"
            ) from error


def lesser(a: Any, b: Any) -> Any:
    """``torch.fmin`` in operations of ONNX: the lesser, or the one that is a number."""
    op = import_module("onnxscript").opset18
    return op.Where(op.Or(op.IsNaN(a), op.Less(b, a)), b, a)


def quantile(p: Any) -> Any:
    """``torch.special.ndtri`` in operations of ONNX, which has no quantile of the normal distribution."""
    op, double = import_module("onnxscript").opset18, import_module("onnx").TensorProto.DOUBLE
    share = op.Cast(p, to=double)  # in float32 the polynomials would cost three digits
    offset = op.Sub(share, _number(0.5))
    square = op.Mul(offset, offset)
    middle = op.Mul(offset, op.Div(_polynomial(op, square, MIDDLE), _polynomial(op, square, MIDDLE_BELOW)))
    smaller = op.Min(share, op.Sub(_number(1.0), share))
    far = op.Sqrt(op.Mul(_number(-2.0), op.Log(smaller)))
    tail = op.Div(_polynomial(op, far, TAIL), _polynomial(op, far, TAIL_BELOW))
    tail = op.Where(op.Less(share, _number(0.5)), tail, op.Neg(tail))
    return op.CastLike(op.Where(op.Less(smaller, _number(TAIL_AT)), tail, middle), p)


def _polynomial(op: Any, x: Any, coefficients: tuple[float, ...]) -> Any:
    """Horner's rule, from the highest power down."""
    value = _number(coefficients[0])
    for coefficient in coefficients[1:]:
        value = op.Add(op.Mul(value, x), _number(coefficient))
    return value


def _number(value: float) -> Any:
    """A constant of type double."""
    onnx, script = import_module("onnx"), import_module("onnxscript")
    return script.opset18.Constant(value=onnx.helper.make_tensor("number", onnx.TensorProto.DOUBLE, [], [value]))


def _reason(error: BaseException) -> str:
    """The first line of the error at the root of a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


WRITERS = {"torch": write_torch, "onnx": write_onnx}
SUFFIXES = {"torch": ".pt2", "onnx": ".onnx"}
