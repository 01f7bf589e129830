"""glTF files that are broken, or need what is not read: each is refused by name."""

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gltf_for_tests import Gltf, flag, glb
from numpy.typing import NDArray
from test_mesh_gltf import basisu, meshopt, skinned, written

from renderers.mesh.files import gltf

Array = NDArray[np.float64]


def changed(change: Callable[[dict[str, Any]], Any]) -> Gltf:
    file = flag()
    change(file.json)
    return file


def accessor(attribute: str, **changes: Any) -> Gltf:
    file = flag()
    file.json["accessors"][file.json["meshes"][0]["primitives"][0]["attributes"][attribute]].update(changes)
    return file


def instanced(count: int) -> Gltf:
    file = flag()
    many = file.add("accessors", {"componentType": 5126, "count": count, "type": "VEC3"})
    extension = {"attributes": {"TRANSLATION": many}}
    file.json["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": extension}
    return file


def tree(*children: list[int]) -> Gltf:
    return changed(lambda json: json.update(nodes=[{"children": c} for c in children]))


EXPORT = "the file is broken, export it again"
REFUSED: dict[str, tuple[Callable[[], Gltf], str]] = {
    "version 1": (
        lambda: changed(lambda json: json.update(asset={"version": "1.0"})),
        "it is glTF 1.0, and 2.0 is read: export it again as glTF 2.0, or open it in a mesh editor",
    ),
    "version 3": (
        lambda: changed(lambda json: json.update(asset={"version": "2.1", "minVersion": "2.1"})),
        "it is glTF 2.1, and 2.0 is read",
    ),
    "no asset": (
        lambda: changed(lambda json: json.pop("asset")),
        f"could not be read (it is no glTF: it has no asset): {EXPORT}",
    ),
    "extension": (
        lambda: changed(lambda json: json.update(extensionsRequired=["ACME_voxels"])),
        "it requires the extension ACME_voxels, which is not known here: export it without",
    ),
    "meshopt": (
        lambda: meshopt(True),
        "its data are compressed by EXT_meshopt_compression, which is not read: undo it with `npx @gltf-transform/cli "
        "copy in.glb out.glb`, or with gltfpack leave out -c and -cc",
    ),
    "KTX2": (
        basisu,
        "is KTX2 (KHR_texture_basisu), which is not read: make it PNG with `npx @gltf-transform/cli ktxdecompress "
        "in.glb out.glb`",
    ),
    "http": (
        lambda: changed(lambda json: json.update(images=[{"uri": "https://example.org/t.png"}])),
        "it names the image 'https://example.org/t.png', and only files are read, named from its folder: put it "
        "there and name it so, or export as GLB, which holds everything",
    ),
    "file": (
        lambda: changed(lambda json: json.update(images=[{"uri": "file:///t.png"}])),
        "it names the image 'file:///t.png', and only files are read",
    ),
    "absolute": (
        lambda: changed(lambda json: json.update(images=[{"uri": "/t.png"}])),
        "it names the image '/t.png', and only files are read, named from its folder",
    ),
    "missing": (
        lambda: changed(lambda json: json.update(images=[{"uri": "my%20t.png"}])),
        "it names the image 'my t.png', which is not there: put it there, or export as GLB, which holds everything",
    ),
    "no image": (
        lambda: changed(lambda json: json["images"][0].update(bufferView=1)),
        "the image number 0 could not be read (",
    ),
    "no data": (
        lambda: changed(lambda json: json.update(images=[{}])),
        f"its image has no data, neither a URI nor a buffer view: {EXPORT}",
    ),
    "mesh -1": (
        lambda: changed(lambda json: json.update(nodes=[{"mesh": -1}])),
        f"it asks for number -1 of its meshes, from 0, and has 1: {EXPORT}",
    ),
    "node": (
        lambda: changed(lambda json: json.update(scenes=[{"nodes": [7]}])),
        f"it asks for number 7 of its nodes, from 0, and has 1: {EXPORT}",
    ),
    "accessor's end": (
        lambda: accessor("POSITION", count=9),
        "rows of 12 bytes each, 12 apart, from byte 0 of a buffer view of 48: ",
    ),
    "huge count": (lambda: accessor("POSITION", count=10**12), f"has count {10**12}: {EXPORT}"),
    "negative start": (
        lambda: accessor("POSITION", byteOffset=-4),
        "from byte -4 of a buffer view of 48: the file is broken",
    ),
    "type": (lambda: accessor("POSITION", type="VEC2"), "is of type VEC2 of 5126, and VEC3 of 5120, "),
    "component": (lambda: accessor("POSITION", componentType=1), "is of type VEC3 of 1, and VEC3 of 5120, "),
    "fewer coordinates": (lambda: accessor("TEXCOORD_0", count=3), "it has 3 of TEXCOORD_0 for 4 vertices: "),
    "view's end": (
        lambda: changed(lambda json: json["bufferViews"][0].update(byteLength=10**6)),
        "buffer view 0 is bytes 0 to 1000000 of buffer 0, which has ",
    ),
    "cut off": (
        lambda: changed(lambda json: json.update(buffers=[{"byteLength": 10**6}])),
        "buffer 0 should have 1000000 bytes and has ",
    ),
    "cycle": (lambda: tree([1], [0]), f"its nodes are no tree, number 0 is below itself: {EXPORT}"),
    "twice": (lambda: tree([1, 2], [2], []), f"its nodes are no tree, number 2 is below two others: {EXPORT}"),
    "matrix": (
        lambda: changed(lambda json: json["nodes"][0].update(matrix=[1, 2])),
        f"the matrix of a node is [1, 2], and not 16 numbers: {EXPORT}",
    ),
    "factor": (
        lambda: changed(lambda json: json["materials"][0]["pbrMetallicRoughness"].update(baseColorFactor="red")),
        f"the base colour is red, and not 4 numbers: {EXPORT}",
    ),
    "instances": (
        lambda: instanced(10**8),
        "node 0 draws its mesh 100000000 times, over 100000: simplify it in",
    ),
    "joint": (
        lambda: skinned(np.array([1, 1, 0, 0], np.float32), (0, 9, 0, 0)),
        f"a vertex hangs on joint 9 of 2, from 0: {EXPORT}",
    ),
    "wrong form": (lambda: changed(lambda json: json.update(meshes=[7])), "could not be read (TypeError: "),
    "no list": (lambda: changed(lambda json: json.update(nodes={"a": 1})), "could not be read ("),
    "no buffer": (
        lambda: changed(lambda json: json["bufferViews"][0].pop("buffer")),
        "could not be read (KeyError: 'buffer')",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    made, said = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(said)):
        written(made(), tmp_path)


def test_a_face_beyond_the_vertices(tmp_path: Path) -> None:
    file = Gltf()
    file.mesh(file.primitive(faces=np.array([0, 1, 9], np.uint16)))
    with pytest.raises(ValueError, match=re.escape("a face has vertex 9, out of range: there are 4, counted from 0; ")):
        written(file, tmp_path)


def test_files_that_were_cut_off_anywhere(tmp_path: Path) -> None:
    whole = flag().write(tmp_path / "m.glb").read_bytes()
    for length in range(0, len(whole) - 1, 7):
        (tmp_path / "m.glb").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="could not be read"):
            gltf.read(tmp_path / "m.glb")


@pytest.mark.parametrize(
    "data, said",
    [
        (glb(b"[1]", b""), "it is no glTF: it has no asset"),
        (glb(b"{", b""), "could not be read (it is no glTF: "),
        (glb(b"[" * 100_000, b""), "could not be read (it is no glTF: "),
        (struct.pack("<4sII", b"glTF", 1, 20) + bytes(8), "it is glTF 1.0, and 2.0 is read"),
        (struct.pack("<4sII", b"glTF", 2, 12), "a GLB without JSON"),
        (b"\xff\xfe", "could not be read (it is no glTF: "),
    ],
)
def test_what_is_no_gltf(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "m.glb").write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(said)):
        gltf.read(tmp_path / "m.glb")
