#!/usr/bin/env bash
# torch 2.13.0 (CPU): the median along a dimension that `expand` has made is wrong, and `sort`'s and `kthvalue`'s is right.
#
# `x.expand(3, 6)` of x = 0 1 2 3 4 5 has three equal rows, so each column's median is the column's number. Seen:
#
#   median of expanded     1 2 3 4 4 and a sixth number that need not be in x
#   median of a copy       0 1 2 3 4 5
#   kthvalue of expanded   0 1 2 3 4 5
#
# Nothing is said, and the last column is of what lies behind the tensor in memory. `median(0).values` of a batch that is
# one image expanded is such a case: call `.contiguous()` first.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 numpy
"$place/venv/bin/python" - <<'PYTHON'
import torch

expanded = torch.arange(6.0).expand(3, 6)
wrong, copied = expanded.median(0).values, expanded.contiguous().median(0).values
kth = expanded.kthvalue(2, 0).values
print(f"torch {torch.__version__}")
print("median of expanded   ", *wrong.tolist())
print("median of a copy     ", *copied.tolist())
print("kthvalue of expanded ", *kth.tolist())
right = torch.arange(6.0)
assert torch.equal(copied, right) and torch.equal(kth, right)
assert not torch.equal(wrong, right), "the median of an expanded tensor is right now"
PYTHON
