#!/usr/bin/env bash
# Pillow 13.0.0 reads compressed big-endian TIFF files of float32 and int32 with each number's bytes reversed.
#
# tifffile 2026.3.3 writes the numbers 1, 2, 3, 4 four times: little- and big-endian, stored and compressed (deflate). Seen,
# as float32:
#
#   little-endian, stored       1 2 3 4
#   little-endian, compressed   1 2 3 4
#   big-endian, stored          1 2 3 4
#   big-endian, compressed      4.6e-41 9e-44 2.3e-41 4.6e-41
#
# The same of int32 (1 becomes 16777216); uint8 and uint16 are right in all four. Nothing is said. Files of microscopes and
# telescopes are often like that: read them with tifffile, which reads all of them right.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet pillow==13.0.0 numpy==2.4.6 tifffile==2026.3.3
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import numpy as np
import PIL
import tifffile
from PIL import Image

numbers = np.array([[1, 2], [3, 4]])
wrong = []
for kind in ("uint8", "uint16", "int32", "float32"):
    for order, name in (("<", "little-endian"), (">", "big-endian")):
        for compression in (None, "zlib"):
            tifffile.imwrite("x.tif", numbers.astype(kind), byteorder=order, compression=compression)
            assert (tifffile.imread("x.tif") == numbers).all()
            with Image.open("x.tif") as image:
                found = np.asarray(image)
            print(f"Pillow {PIL.__version__}: {kind}, {name}, {compression or 'stored'}:", *found.ravel())
            if not (found == numbers).all():
                wrong.append((kind, name, compression))
assert wrong == [(kind, "big-endian", "zlib") for kind in ("int32", "float32")], wrong
PYTHON
