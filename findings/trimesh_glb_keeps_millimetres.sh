#!/usr/bin/env bash
# trimesh 5.2.0 writes GLB files with a mesh's lengths as they are, whatever its `units` say: a part in millimetres is a
# thousand times too large for every other program.
#
# glTF 2.0 is in metres by definition, and trimesh itself takes GLB files that do not come from it for metres. So one would
# guess that a mesh whose `units` are mm is written in metres. Seen, of a box 100 mm long, what the file's accessor says:
#
#   units    written       metres would be    read back by trimesh
#   mm       100           0.1                100 mm
#   cm       10            0.1                10 cm
#   meters   0.1           0.1                0.1 meters
#
# The unit stands in an `extras` entry of the file, which trimesh alone reads; so the mistake is not seen in its own round
# trips. The cure: `mesh.convert_units("meters")` before the export; or say the unit where the file is read.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet trimesh==5.2.0 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import json
import struct

import trimesh


def longest(path):
    """The largest extent that a GLB's accessors state, by its JSON alone, and whether a node scales it."""
    data = open(path, "rb").read()
    (size,) = struct.unpack_from("<I", data, 12)
    document = json.loads(data[20 : 20 + size])
    places = {p["attributes"]["POSITION"] for mesh in document["meshes"] for p in mesh["primitives"]}
    scaled = any("scale" in node or "matrix" in node for node in document["nodes"])
    accessors = [document["accessors"][k] for k in places]
    return max(b - a for one in accessors for a, b in zip(one["min"], one["max"])), scaled


wrong = []
for units, length in (("mm", 100.0), ("cm", 10.0), ("meters", 0.1)):
    box = trimesh.creation.box((length, length / 2, length / 4))
    box.units = units
    box.export("box.glb")
    written, scaled = longest("box.glb")
    back = trimesh.load_scene("box.glb")
    print(f"trimesh {trimesh.__version__}: {units}: written {written:g}, metres would be 0.1,"
          f" read back {max(back.extents):g} {back.units}")
    assert not scaled and back.units == units, (scaled, back.units)
    if abs(written - 0.1) > 1e-6:
        wrong.append(units)
box = trimesh.creation.box((0.1, 0.1, 0.1))
box.export("plain.glb")
assert trimesh.load_scene("plain.glb").units == "meters"  # what is not told is taken for metres
assert wrong == ["mm", "cm"], wrong
PYTHON
