#!/usr/bin/env bash
# NumPy 2.4.6: `np.load(FILE, mmap_mode="r")` maps a `.npy` file, and reads an `.npz` archive's arrays whole, without a word.
#
# The same array, of 64 MiB, saved by `np.save` and by `np.savez`, which does not compress; both are opened with mmap_mode="r"
# and one row is taken of each. Seen, the type and how much more memory of its own the process has after it:
#
#   .npy    memmap    0 MiB
#   .npz    ndarray  64 MiB
#
# Every look at `archive["x"]` reads it again. The bytes lie in the archive as they would in a `.npy` file, so they can be
# mapped: `np.memmap` from where the member's data begin.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import re
from pathlib import Path

import numpy as np


def own_memory() -> int:
    """MiB, without pages of files."""
    return int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024


np.save("x.npy", np.ones((1024, 65536), np.uint8))
np.savez("x.npz", x=np.ones((1024, 65536), np.uint8))
kinds, grown = [], []
for name in ("x.npy", "x.npz"):
    before = own_memory()
    loaded = np.load(name, mmap_mode="r")
    array = loaded if name == "x.npy" else loaded["x"]
    assert array[7].sum() == 65536
    kinds.append(type(array).__name__)
    grown.append(own_memory() - before)
    print(f"{name[1:]}    {kinds[-1]:8s}{grown[-1]:4d} MiB")
assert kinds == ["memmap", "ndarray"], "archives are mapped now"
assert grown[0] < 8 and grown[1] > 56, grown
PYTHON
