#!/usr/bin/env bash
# torch 2.13.0 (CPU), onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0: `torch.minimum` can be written as ONNX, `torch.fmin` cannot.
#
# Both take the lesser of two tensors; where one of them is not a number, `minimum` gives that and `fmin` the other one, which a
# z-buffer wants whose empty pixels have no depth. `torch.export.export` takes either. `torch.onnx.export(dynamo=True)`, opset 18:
#
#   minimum, maximum   one operation, Min or Max
#   fmin, fmax         ConversionError: `prims.fmin` (`prims.fmax`) has no translation, though Where, IsNaN and Less would do
#
# What helps: a function of the operation in onnxscript, given as `custom_translation_table={torch.ops.prims.fmin.default: f}`.
# Below it says what torch says, numbers missing and all.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 numpy onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0
"$place/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import numpy as np
import onnxruntime
import onnxscript
import torch

logging.disable(logging.ERROR)
warnings.simplefilter("ignore")
PAIR = (torch.tensor([1.0, 2.0, torch.nan, 3.0]), torch.tensor([2.0, 1.0, 5.0, torch.nan]))


class Lesser(torch.nn.Module):
    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self, a, b):
        return self.of(a, b)


def exported(of, **options):
    """What ONNX Runtime makes of it; None where it cannot be written."""
    torch.export.export(Lesser(of), PAIR)
    try:
        model = torch.onnx.export(Lesser(of), PAIR, dynamo=True, opset_version=18, verbose=False, **options).model_proto
    except torch.onnx.OnnxExporterError as error:
        print(f"{of.__name__:<8} {type(error).__name__}")
        return None
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    (found,) = session.run(None, dict(zip(names, (part.numpy() for part in PAIR))))
    print(f"{of.__name__:<8} {found} of {[node.op_type for node in model.graph.node]}")
    return found


def translated(a, b):
    op = onnxscript.opset18
    return op.Where(op.Or(op.IsNaN(a), op.Less(b, a)), b, a)


print(f"torch {torch.__version__}, onnxscript {onnxscript.__version__}, onnxruntime {onnxruntime.__version__}")
for of in (torch.minimum, torch.maximum):
    assert exported(of) is not None
for of in (torch.fmin, torch.fmax):
    assert exported(of) is None, f"{of.__name__} can be written now"
found = exported(torch.fmin, custom_translation_table={torch.ops.prims.fmin.default: translated})
assert np.array_equal(found, torch.fmin(*PAIR).numpy())
PYTHON
