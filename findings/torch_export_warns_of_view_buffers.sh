#!/usr/bin/env bash
# torch 2.13.0 (CPU): a program whose buffer is a view of other memory is saved with a warning, though it loads right.
#
# A module adds a buffer of 2 x 3 numbers. `torch.export.export` and `torch.export.save`, seen by how the buffer was made:
#
#   a transposed 3 x 2 tensor       warns that no complete tensor was found in the group; loads with strides 1 2, right
#   the first rows of 1000 x 3      warns likewise; the file holds all 1000 rows; loads right
#   either one, made contiguous     no warning; the file holds the six numbers
#
# The warning speaks of weights that are not on the CPU; these are, and nothing is lost. A table that was made by a
# transposition, a permutation or a slice: call `.contiguous()` (of a slice `.clone()`) before `register_buffer`.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 numpy
"$place/venv/bin/python" - <<'PYTHON'
import io
import warnings

import torch


class Shift(torch.nn.Module):
    def __init__(self, table):
        super().__init__()
        self.register_buffer("table", table)

    def forward(self, x):
        return x + self.table


def saved(table):
    """Whether saving warns, the file's bytes, the strides of the loaded buffer, and whether what it computes is right."""
    program = torch.export.export(Shift(table), (torch.zeros(2, 3),))
    file = io.BytesIO()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file)
    right = torch.equal(loaded.module()(torch.zeros(2, 3)), table)
    warned = any("No complete tensor found" in str(each.message) for each in said)
    return warned, len(file.getvalue()), dict(loaded.named_buffers())["table"].stride(), right


print(f"torch {torch.__version__}")
rows = torch.arange(3000.0).view(1000, 3)
ways = {"transposed": torch.arange(6.0).view(3, 2).T, "first rows": rows[:2], "contiguous": rows[:2].clone()}
seen = {name: saved(table) for name, table in ways.items()}
for name, (warned, size, stride, right) in seen.items():
    print(f"{name:<11} warns {warned!s:<6} {size:>6} bytes, strides {stride}, right {right}")
assert all(right for *_, right in seen.values())
assert seen["transposed"][0] and seen["first rows"][0], "a view is saved without a warning now"
assert not seen["contiguous"][0] and seen["first rows"][1] - seen["contiguous"][1] > 11_000
PYTHON
