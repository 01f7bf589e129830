"""glTF and GLB: shapes and colours as the specification has them, and every word on what is refused."""

import json
import math
import re
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from gltf_for_tests import BLUE, FACES, FLAG, GREEN, RED, SQUARE, UV, YELLOW, Gltf, flag, png
from numpy.typing import NDArray
from PIL import Image

from renderers.mesh import read_mesh
from renderers.mesh.files import gltf
from renderers.mesh.files.painting import painted
from renderers.mesh.files.part import Part

Array = NDArray[np.float64]
QUARTERS = {(-1, -1): RED, (1, -1): GREEN, (-1, 1): BLUE, (1, 1): YELLOW}  # of x and z


def written(file: Gltf, folder: Path, name: str = "m.glb") -> list[Part]:
    return gltf.read(file.write(folder / name))


def corners(parts: list[Part]) -> Array:
    return np.concatenate([part.corners for part in parts])


def bounds(parts: list[Part]) -> list[list[float]]:
    points = corners(parts).reshape(-1, 3)
    return [points.min(0).round(5).tolist(), points.max(0).round(5).tolist()]


def mean(parts: list[Part]) -> list[float]:
    """Mean sRGB by area."""
    soup = painted(parts, 0.1)
    edges = soup.corners[:, 1:] - soup.corners[:, :1]
    areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    return np.average(soup.srgb.mean(1), 0, areas).tolist()


def quarters(parts: list[Part]) -> dict[tuple[int, int], list[float]]:
    """The colour well within each quarter of a square seen from above, from 0 to 255."""
    soup = painted(parts, 0.02)
    middle = soup.corners.mean(1)
    near = {q: np.abs(middle[:, [0, 2]] - np.array(q) / 2).max(1) < 0.2 for q in QUARTERS}
    return {q: (255 * soup.srgb[rows].mean((0, 1))).round().tolist() for q, rows in near.items()}


def encoded(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


# ---- colours


@pytest.mark.parametrize("kind, full", [("float32", 1), ("uint8", 255), ("uint16", 65535)])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("material", [False, True])
def test_vertex_colours_are_linear_shares_and_multiply_the_factor(
    kind: str, full: int, channels: int, material: bool, tmp_path: Path
) -> None:
    file, shares = Gltf(), np.tile([0.2, 0.4, 0.6, 1.0][:channels], (4, 1))
    colors = (shares * full).astype(kind)
    more = {"material": file.material([0.5, 1.0, 0.25, 1.0])} if material else {}
    file.mesh(file.primitive(COLOR_0=file.accessor(colors, normalized=kind != "float32"), **more))
    expected = [encoded(c * f) for c, f in zip([0.2, 0.4, 0.6], [0.5, 1.0, 0.25] if material else [1, 1, 1])]
    assert mean(written(file, tmp_path)) == pytest.approx(expected, abs=3e-3)


def test_factor_and_texture_multiply_in_linear_numbers(tmp_path: Path) -> None:
    file = Gltf()
    texture = file.texture(np.full((2, 2, 3), 128, np.uint8))
    file.mesh(file.primitive(TEXCOORD_0=UV, material=file.material([0.5, 1, 0, 1], texture)))
    linear = ((128 / 255 + 0.055) / 1.055) ** 2.4
    assert mean(written(file, tmp_path)) == pytest.approx([encoded(linear / 2), 128 / 255, 0], abs=1e-6)


@pytest.mark.parametrize(
    "material, expected",
    [
        (None, [0.7] * 3),
        ({}, [1, 1, 1]),
        ({"pbrMetallicRoughness": {"baseColorFactor": [0.2, 0.4, 0.6, 1]}}, [0.2, 0.4, 0.6]),
        (
            {"extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [0.2, 0.4, 0.6, 1]}}},
            [0.2, 0.4, 0.6],
        ),
        ({"pbrMetallicRoughness": {"baseColorFactor": [0, 0, 0, 1]}, "emissiveFactor": [1, 0.5, 0]}, [1, 0.5, 0]),
        ({"emissiveFactor": [1, 0.5, 0]}, [1, 1, 1]),
        ({"pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 0.3]}, "alphaMode": "BLEND"}, [1, 0, 0]),
        (
            {"extensions": {"KHR_materials_unlit": {}}, "pbrMetallicRoughness": {"baseColorFactor": [0, 1, 0, 1]}},
            [0, 1, 0],
        ),
    ],
)
def test_factors_of_materials(material: Any, expected: list[float], tmp_path: Path) -> None:
    file = Gltf()
    file.mesh(file.primitive(**({} if material is None else {"material": file.add("materials", material)})))
    wanted = expected if material is None else [encoded(c) for c in expected]
    assert mean(written(file, tmp_path)) == pytest.approx(wanted, abs=1e-6)


def image(kind: str) -> tuple[bytes, float]:
    """A grey image of a kind, and its grey."""
    grey = np.full((4, 4), 100, np.uint8)
    match kind:
        case "palette":
            return png(Image.fromarray(np.stack([grey] * 3, -1)).quantize(4)), 100 / 255
        case "grey":
            return png(Image.fromarray(grey)), 100 / 255
        case "grey and alpha":
            return png(Image.fromarray(np.stack([grey, grey], -1))), 100 / 255
        case "16 bits":
            return png(Image.fromarray(np.full((4, 4), 20000, np.uint16))), 20000 / 65535
        case "1 bit":
            return png(Image.fromarray(grey > 50)), 1.0
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["palette", "grey", "grey and alpha", "16 bits", "1 bit"])
def test_images_of_many_kinds(kind: str, tmp_path: Path) -> None:
    data, grey = image(kind)
    file = Gltf()
    file.mesh(file.primitive(TEXCOORD_0=UV, material=file.material(texture=file.texture(data))))
    assert mean(written(file, tmp_path)) == pytest.approx([grey] * 3, abs=1e-6)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_images_of_other_formats(format: str, tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8, 3), [200, 100, 50], np.uint8)).save(tmp_path / "p", format)
    file = Gltf()
    texture = file.texture((tmp_path / "p").read_bytes())
    if format == "WEBP":
        file.json["textures"][texture] = {"extensions": {"EXT_texture_webp": {"source": 0}}}
        file.json["extensionsRequired"] = ["EXT_texture_webp"]
    file.mesh(file.primitive(TEXCOORD_0=UV, material=file.material(texture=texture)))
    assert mean(written(file, tmp_path)) == pytest.approx([200 / 255, 100 / 255, 50 / 255], abs=0.02)


# ---- texture coordinates


@pytest.mark.parametrize("kind, full", [("float32", 1), ("uint8", 255), ("uint16", 65535)])
def test_texture_coordinates_in_every_type(kind: str, full: int, tmp_path: Path) -> None:
    file = Gltf()
    uv = file.accessor((UV * full).astype(kind), normalized=kind != "float32")
    file.mesh(file.primitive(TEXCOORD_0=uv, material=file.material(texture=file.texture(FLAG))))
    assert quarters(written(file, tmp_path)) == QUARTERS


def test_the_second_set_of_texture_coordinates(tmp_path: Path) -> None:
    file = Gltf()
    material = file.material(texture=file.texture(FLAG), info={"texCoord": 1})
    file.mesh(file.primitive(TEXCOORD_0=np.full_like(UV, 0.1), TEXCOORD_1=UV, material=material))
    assert quarters(written(file, tmp_path)) == QUARTERS


@pytest.mark.parametrize(
    "transform, expected",
    [
        ({"offset": [0.5, 0.5], "scale": [0.4, 0.4]}, dict.fromkeys(QUARTERS, YELLOW)),
        ({"offset": [0.5, 0]}, {(-1, -1): GREEN, (1, -1): RED, (-1, 1): YELLOW, (1, 1): BLUE}),
        # (u, v) becomes (v, 1 - u)
        ({"rotation": math.pi / 2, "offset": [0, 1]}, {(-1, -1): BLUE, (1, -1): RED, (-1, 1): YELLOW, (1, 1): GREEN}),
        ({"texCoord": 1}, dict.fromkeys(QUARTERS, RED)),
    ],
)
def test_texture_transform(transform: Any, expected: Any, tmp_path: Path) -> None:
    """Scaled, then turned counter-clockwise as one sees it, v being downward, then moved."""
    file = Gltf()
    material = file.material(texture=file.texture(FLAG), info={"extensions": {"KHR_texture_transform": transform}})
    file.mesh(file.primitive(TEXCOORD_0=UV, TEXCOORD_1=np.full_like(UV, 0.1), material=material))
    assert quarters(written(file, tmp_path)) == expected


@pytest.mark.parametrize(
    "wrap, expected",
    [
        (10497, QUARTERS),
        (33648, {(-1, -1): YELLOW, (1, -1): BLUE, (-1, 1): GREEN, (1, 1): RED}),
        (33071, dict.fromkeys(QUARTERS, YELLOW)),
        (None, QUARTERS),
    ],
)
def test_beyond_a_textures_sides(wrap: int | None, expected: Any, tmp_path: Path) -> None:
    file = Gltf()
    texture = file.texture(FLAG, **({} if wrap is None else {"wrapS": wrap, "wrapT": wrap}))
    file.mesh(file.primitive(TEXCOORD_0=UV + np.float32(1), material=file.material(texture=texture)))
    assert quarters(written(file, tmp_path)) == expected


# ---- transparency


def test_masked_parts_are_not_there(tmp_path: Path) -> None:
    """A green dot in the middle of a white card that is transparent."""
    card = np.full((20, 20, 4), [255, 255, 255, 0], np.uint8)
    card[8:12, 8:12] = [0, 255, 0, 255]
    for mode, size in (("MASK", 0.4), ("BLEND", 0.4), ("OPAQUE", 2.0)):
        file = Gltf()
        material = file.material(texture=file.texture(card), alphaMode=mode)
        file.mesh(file.primitive(TEXCOORD_0=UV, material=material))
        parts = written(file, tmp_path)
        assert np.ptp(corners(parts)[..., 0]) == pytest.approx(size, abs=0.08), mode
        assert mode == "OPAQUE" or mean(parts) == pytest.approx([0, 1, 0], abs=1e-6)


def test_alpha_of_factor_and_vertices_hides_faces(tmp_path: Path) -> None:
    colors = np.array([[1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 0]], np.float32)
    for mode, factor, count in (
        ("MASK", 1, 2),
        ("MASK", 0.6, 1),
        ("MASK", 0.4, 0),
        ("BLEND", 0.4, 2),
        ("OPAQUE", 0, 2),
    ):
        file = Gltf()
        file.mesh(file.primitive(COLOR_0=colors, material=file.material([1, 1, 1, factor], alphaMode=mode)))
        assert sum(len(part.corners) for part in written(file, tmp_path)) == count, (mode, factor)


# ---- shapes


@pytest.mark.parametrize("kind, full", [("int8", 127), ("int16", 32767), ("uint8", 255), ("uint16", 65535)])
def test_quantised_positions(kind: str, full: int, tmp_path: Path) -> None:
    """KHR_mesh_quantization: normalised ones in [-1, 1], others as they are."""
    for normalized, scale in ((True, 1 / full), (False, 1)):
        file = Gltf()
        table = np.array([[0, 0, 0], [full, 0, 0], [0, full, 0], [0, 0, full]], kind)
        rows = np.zeros((4, 8 if table.itemsize == 2 else 4), kind)
        rows[:, :3] = table
        view = file.view(rows.tobytes(), byteStride=rows.strides[0])
        place = {
            "bufferView": view,
            "componentType": {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123}[kind],
        }
        position = file.add("accessors", {**place, "count": 4, "type": "VEC3", "normalized": normalized})
        file.mesh({"attributes": {"POSITION": position}, "indices": file.accessor(np.arange(3, dtype=np.uint8))})
        file.json["extensionsRequired"] = ["KHR_mesh_quantization"]
        assert bounds(written(file, tmp_path))[1] == pytest.approx([full * scale, full * scale, 0])


STRIP = SQUARE[[0, 1, 3, 2]]


@pytest.mark.parametrize(
    "mode, positions, faces",
    [
        (4, SQUARE, FACES),
        (5, STRIP, None),
        (6, SQUARE, None),
        (5, STRIP, np.arange(4, dtype=np.uint32)),
        (None, SQUARE, FACES),
    ],
)
def test_lists_strips_and_fans_are_wound_alike(mode: int | None, positions: Any, faces: Any, tmp_path: Path) -> None:
    file = Gltf()
    file.mesh(file.primitive(positions, faces, **({} if mode is None else {"mode": mode})))
    triangles = corners(written(file, tmp_path))
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    assert len(triangles) == 2 and np.allclose(normals, [0, 4, 0])


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_points_and_lines_are_not_drawn(mode: int, tmp_path: Path) -> None:
    file = Gltf()
    file.mesh(file.primitive(mode=mode), file.primitive())
    assert len(corners(written(file, tmp_path))) == 2


def test_sparse_accessors_replace_rows(tmp_path: Path) -> None:
    for base in (True, False):
        file = Gltf()
        accessor = file.json.setdefault("accessors", [])
        position = file.accessor(SQUARE if base else np.zeros((4, 3), np.float32))
        if not base:
            del accessor[position]["bufferView"]
        rows = np.arange(4, dtype=np.uint16)
        places = {"bufferView": file.view(rows.tobytes()), "componentType": 5123}
        raised = SQUARE + np.float32(3)
        accessor[position]["sparse"] = {
            "count": 4,
            "indices": places,
            "values": {"bufferView": file.view(raised.tobytes())},
        }
        file.mesh({"attributes": {"POSITION": position}, "indices": file.accessor(FACES)})
        assert bounds(written(file, tmp_path)) == [[2, 3, 2], [4, 3, 4]]


def test_morph_targets_by_the_nodes_weights_then_the_meshes(tmp_path: Path) -> None:
    for weights, mesh, height in (([0.5, 1], [0, 0], 4), (None, [1, 0], 2), (None, None, 0)):
        file = Gltf()
        targets = [{"POSITION": file.accessor(np.full((4, 3), [0, up, 0], np.float32))} for up in (2, 3)]
        file.mesh(file.primitive(targets=targets), **({} if mesh is None else {"weights": mesh}))
        if weights is not None:
            file.json["nodes"][0]["weights"] = weights
        assert bounds(written(file, tmp_path))[1][1] == height


# ---- scenes


def test_nodes_move_turn_and_scale_what_is_below_them(tmp_path: Path) -> None:
    file = Gltf()
    file.mesh(file.primitive())
    half = math.sqrt(0.5)
    file.json["nodes"] = [
        {"translation": [10, 0, 0], "rotation": [0, 0, half, half], "children": [1], "camera": 0},
        {"matrix": [2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 0, 0, 1], "mesh": 0},
    ]
    file.json["cameras"] = [{"type": "perspective", "perspective": {"yfov": 1, "znear": 1}}]
    assert bounds(written(file, tmp_path)) == [[10, 3, -1], [10, 7, 1]]  # from x 3 to 7, turned to y


def test_a_node_that_mirrors_turns_the_winding_about(tmp_path: Path) -> None:
    for place in ({"scale": [-1, 1, 1]}, {"matrix": [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]}):
        file = flag()
        file.json["nodes"][0] |= place
        parts = written(file, tmp_path)
        triangles = corners(parts)
        normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        assert np.allclose(normals, [0, 4, 0])
        assert quarters(parts) == {(-x, z): color for (x, z), color in QUARTERS.items()}


def test_which_scene_is_read(tmp_path: Path) -> None:
    """The file's own; the first where it has none; all nodes where there are no scenes."""
    for changes, ends in (
        ({"scene": 1}, [9, 11]),
        ({"scene": None}, [-1, 1]),
        ({"scene": None, "scenes": None}, [-1, 11]),
    ):
        file = Gltf()
        file.mesh(file.primitive())
        file.json["nodes"] = [{"mesh": 0}, {"mesh": 0, "translation": [10, 0, 0]}]
        file.json["scenes"] = [{"nodes": [0]}, {"nodes": [1]}]
        file.json = {k: v for k, v in (file.json | changes).items() if v is not None}
        low, high = bounds(written(file, tmp_path))
        assert [low[0], high[0]] == ends


def test_hidden_nodes(tmp_path: Path) -> None:
    file = Gltf()
    file.mesh(file.primitive())
    hidden = {"extensions": {"KHR_node_visibility": {"visible": False}}, "children": [2]}
    file.json["nodes"] = [{"mesh": 0}, hidden, {"mesh": 0, "translation": [9, 0, 0]}]
    file.json["scenes"] = [{"nodes": [0, 1]}]
    assert bounds(written(file, tmp_path))[1] == [1, 0, 1]


def test_instances(tmp_path: Path) -> None:
    file = Gltf()
    file.mesh(file.primitive())
    half = math.sqrt(0.5)
    attributes = {
        "TRANSLATION": file.accessor(np.array([[0, 0, 0], [10, 0, 0]], np.float32)),
        "ROTATION": file.accessor(
            np.array([[0, 0, 0, 32767], [0, 0, half * 32767, half * 32767]], np.int16), normalized=True
        ),
        "SCALE": file.accessor(np.array([[1, 1, 1], [3, 1, 1]], np.float32)),
    }
    file.json["nodes"][0] |= {
        "extensions": {"EXT_mesh_gpu_instancing": {"attributes": attributes}},
        "translation": [0, 1, 0],
    }
    file.json["extensionsRequired"] = ["EXT_mesh_gpu_instancing"]
    parts = written(file, tmp_path)
    assert len(parts) == 2 and np.allclose(bounds(parts), [[-1, -2, -1], [10, 4, 1]], atol=1e-3)


def skinned(weights: Any, joints: Any = (0, 1, 0, 0)) -> Gltf:
    """A square that hangs on a joint at x 10 and one at y 5, its node far away."""
    file = Gltf()
    rows = {"JOINTS_0": np.tile(np.array(joints, np.uint8), (4, 1)), "WEIGHTS_0": np.tile(weights, (4, 1))}
    file.mesh(file.primitive(**rows))
    inverse = np.stack([np.eye(4)] * 2).astype(np.float32)
    inverse[1, 3, :3] = [0, 0, 7]  # by columns
    file.json["nodes"] = [{"mesh": 0, "skin": 0, "scale": [99, 99, 99]}, {"translation": [10, 0, 0], "children": [2]}]
    file.json["nodes"] += [{"translation": [0, 5, 0]}]
    file.json |= {"skins": [{"joints": [1, 2], "inverseBindMatrices": file.accessor(inverse)}]}
    file.json["scenes"] = [{"nodes": [0, 1]}]
    return file


@pytest.mark.parametrize(
    "weights, middle",
    [
        (np.array([1, 0, 0, 0], np.float32), [10, 0, 0]),
        (np.array([0, 1, 0, 0], np.float32), [10, 5, 7]),
        (np.array([0.5, 0.5, 0, 0], np.float32), [10, 2.5, 3.5]),
        (np.array([1, 1, 0, 0], np.float32), [10, 2.5, 3.5]),
        (np.array([0, 255, 0, 0], np.uint8), [10, 5, 7]),
        (np.array([0, 0, 0, 0], np.float32), [10, 0, 0]),
    ],
)
def test_a_skin_is_where_its_joints_are_and_not_its_node(weights: Any, middle: list[float], tmp_path: Path) -> None:
    low, high = bounds(written(skinned(weights), tmp_path))
    assert (np.add(low, high) / 2).tolist() == middle and np.subtract(high, low).tolist() == [2, 0, 2]


# ---- files that it names


@pytest.mark.parametrize(
    "name, uri",
    [("my tex.png", "my%20tex.png"), ("my tex.png", "my tex.png"), ("a%20b.png", "a%20b.png"),
     ("sub/t.png", "sub/t.png"), ("sub/t.png", "sub\\t.png"),
     ("../t.png", "../t.png"), ("caf\u00e9.png", "caf%C3%A9.png")],
)  # fmt: skip
def test_images_and_buffers_in_files(name: str, uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    file = flag()
    file.json["images"] = [{"uri": uri}]
    path = file.write(folder / "m.gltf")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(png(Image.fromarray(FLAG)))
    content = json.loads(path.read_text())
    content["buffers"][0]["uri"] = "../my%20data.bin"
    path.write_text(json.dumps(content))
    (folder / "data.bin").rename(tmp_path / "my data.bin")
    assert quarters(gltf.read(path)) == QUARTERS


def test_data_uris(tmp_path: Path) -> None:
    file = flag()
    data = b64encode(png(Image.fromarray(FLAG))).decode().rstrip("=")  # some leave the filling out
    file.json["images"] = [{"uri": f"data:image/png;base64,{data}"}]
    path = file.write(tmp_path / "m.gltf")
    content = json.loads(path.read_text())
    content["buffers"][0]["uri"] = "data:application/octet-stream," + quote(file.data)
    path.write_text(json.dumps(content))
    (tmp_path / "data.bin").unlink()
    assert quarters(gltf.read(path)) == QUARTERS


def test_a_glb_by_the_name_of_a_gltf_and_the_other_way_round(tmp_path: Path) -> None:
    text, binary = flag().write(tmp_path / "a.gltf"), flag().write(tmp_path / "b.glb")
    text, binary = text.rename(tmp_path / "c.glb"), binary.rename(tmp_path / "d.gltf")
    assert quarters(gltf.read(text)) == quarters(gltf.read(binary)) == QUARTERS


# ---- what is compressed


def test_draco(tmp_path: Path) -> None:
    draco = pytest.importorskip("DracoPy", reason="DracoPy is not installed: pip install DracoPy")
    colors = np.tile(np.array([255, 51, 0, 255], np.uint8), (4, 1))
    data = draco.encode(SQUARE, FACES.reshape(-1, 3), quantization_bits=14, colors=colors)
    for kind, full in ((5121, 255), (5123, 65535)):  # some encoders write whole numbers wider than the accessor's
        parts = written(draco_file(bytes(data), kind), tmp_path)
        assert len(corners(parts)) == 2 and np.allclose(bounds(parts), [[-1, 0, -1], [1, 0, 1]], atol=1e-3)
        assert mean(parts) == pytest.approx([encoded(c / full) for c in (255, 51, 0)], abs=1e-6)
    with pytest.raises(ValueError, match="its compressed POSITION has 4 numbers a vertex: the file is broken"):
        written(draco_file(bytes(data), position=0, color=1), tmp_path)
    with pytest.raises(ValueError, match="its faces could not be decompressed .*: the file is broken, export it again"):
        written(draco_file(b"no draco"), tmp_path)


def draco_file(data: bytes, kind: int = 5121, position: int = 1, color: int = 0) -> Gltf:
    """``position``, ``color``: their numbers in the compressed data, as DracoPy gives them."""
    file = Gltf()
    where = file.add("accessors", {"componentType": 5126, "count": 4, "type": "VEC3"})
    indices = file.add("accessors", {"componentType": 5123, "count": 6, "type": "SCALAR"})
    what = file.add("accessors", {"componentType": kind, "count": 4, "type": "VEC4", "normalized": True})
    packed = {"bufferView": file.view(data), "attributes": {"POSITION": position, "COLOR_0": color}}
    content = {"attributes": {"POSITION": where, "COLOR_0": what}, "indices": indices}
    file.mesh({**content, "extensions": {"KHR_draco_mesh_compression": packed}})
    file.json["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    return file


def test_draco_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    said = (
        "its faces are compressed by KHR_draco_mesh_compression, which needs the package DracoPy: pip install DracoPy, "
        "or undo it with `npx @gltf-transform/cli copy in.glb out.glb`"
    )
    with pytest.raises(ValueError, match=re.escape(said)):
        written(draco_file(b""), tmp_path)


def meshopt(required: bool) -> Gltf:
    file = flag()
    file.json["bufferViews"][0]["extensions"] = {"EXT_meshopt_compression": {"buffer": 0}}
    file.json["extensionsRequired"] = ["EXT_meshopt_compression"] * required
    return file


def test_what_is_there_uncompressed_too_is_read(tmp_path: Path) -> None:
    assert quarters(written(meshopt(False), tmp_path)) == QUARTERS
    file = flag()
    texture = file.json["textures"][0]
    texture["extensions"] = {"KHR_texture_basisu": {"source": file.add("images", {"uri": "gone.ktx2"})}}
    assert quarters(written(file, tmp_path)) == QUARTERS


def basisu() -> Gltf:
    file = flag()
    view = file.view(b"\xabKTX 20\xbb\r\n\x1a\n")
    image = file.add("images", {"bufferView": view, "mimeType": "image/ktx2"})
    file.json["textures"][0] = {"extensions": {"KHR_texture_basisu": {"source": image}}}
    file.json["extensionsRequired"] = ["KHR_texture_basisu"]
    return file


# ---- what is refused


def test_a_mesh_keeps_linear_numbers_and_draws_them_as_srgb(tmp_path: Path) -> None:
    file = Gltf()
    texture = file.texture(np.full((2, 2, 3), 128, np.uint8))
    file.mesh(
        file.primitive(TEXCOORD_0=UV, material=file.material([1, 1, 1, 1], texture)),
        file.primitive(material=file.material([0.2, 0.4, 0.6, 1])),
    )
    mesh = read_mesh(file.write(tmp_path / "m.glb"))
    assert mesh.linear is not None and mesh.linear.tolist() == [False, False, True, True]
    assert mesh.colors[-1, 0].tolist() == pytest.approx([0.2, 0.4, 0.6])
    assert mesh.drawn[-1, 0].tolist() == pytest.approx([encoded(c) for c in (0.2, 0.4, 0.6)])
    assert np.allclose(mesh.colors[0], 128 / 255) and np.allclose(mesh.drawn[0], 128 / 255)
    assert mesh.scaled(2.0).linear is mesh.linear
