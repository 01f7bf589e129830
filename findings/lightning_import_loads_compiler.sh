#!/usr/bin/env bash
# pytorch-lightning 2.6.6 and torchmetrics 1.9.0 with torch 2.13.0 (CPU): importing them loads torch's compiler and, where scipy
# is installed, scipy.signal and scipy.stats, though nothing is compiled and no audio measured; memory grows by two thirds.
#
# `import torch` by itself has none of them. Seen (a process's resident memory, Linux):
#
#   import torch              218 MiB, loaded: none of them
#   import pytorch_lightning  368 MiB, loaded: torch._dynamo, sympy, scipy.signal, scipy.stats
#
# lightning_fabric's wrappers take a class from torch._dynamo at their import; torchmetrics' package imports scipy.signal
# where it is there. Each process of a training holds them, and a command line that only shows its help waits for them:
# import Lightning where a command first needs it.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0
"$place/venv/bin/pip" install --quiet pytorch-lightning==2.6.6 torchmetrics==1.9.0 scipy==1.17.1
"$place/venv/bin/python" - <<'PYTHON'
import sys


def resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def loaded() -> list[str]:
    return [name for name in ("torch._dynamo", "sympy", "scipy.signal", "scipy.stats") if name in sys.modules]


import torch  # noqa: E402

before, first = loaded(), resident()
import pytorch_lightning  # noqa: E402

after, second = loaded(), resident()
print(f"import torch              {first:4.0f} MiB, loaded: {', '.join(before) or 'none of them'}")
print(f"import pytorch_lightning  {second:4.0f} MiB, loaded: {', '.join(after)}")
assert not before, "importing torch loads the compiler itself now"
assert "torch._dynamo" in after and "scipy.signal" in after, "Lightning and torchmetrics leave them out now"
PYTHON
