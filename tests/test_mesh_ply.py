"""PLY files, ASCII and binary, as programs write them: what is drawn, what is said, and what is refused."""

import math
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from mesh_files_for_tests import GREY, areas, image, mean, shows_quarters
from mesh_files_for_tests import drawn as drawn_as_it_is

from renderers.mesh import Mesh

XYZ = "property float x\nproperty float y\nproperty float z\n"
LIST = "property list uchar int vertex_indices\n"
SQUARES = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0], [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]
QUADS = "4 0 1 2 3\n4 4 5 6 7\n"
HEIGHT = 1 / math.sqrt(8)
PAINT = (0.25, 0.17, 0.17)


def drawn(path: Path, content: str | bytes) -> Mesh:
    return drawn_as_it_is(path, content, up="z")


def ply(vertices: str, faces: str, vertex: str = XYZ, face: str = LIST, before: str = "") -> str:
    """An ASCII file of these rows and properties."""
    elements = f"element vertex {vertices.count(chr(10))}\n{vertex}element face {faces.count(chr(10))}\n{face}"
    return f"ply\nformat ascii 1.0\n{before}{elements}end_header\n{vertices}{faces}"


def rows(*columns: list[list[float]]) -> str:
    return "".join(" ".join(f"{value:g}" for part in row for value in part) + "\n" for row in zip(*columns))


def binary(order: str, faces: list[list[int]], counter: str = "uchar", code: str = "B", newline: str = "\n") -> bytes:
    kind = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    face = f"element face {len(faces)}\nproperty list {counter} int vertex_indices\n"
    header = f"ply\nformat {kind} 1.0\nelement vertex 8\n{XYZ}{face}end_header\n"
    body = b"".join(struct.pack(f"{order}{code}{len(f)}i", len(f), *f) for f in faces)
    return header.replace("\n", newline).encode() + np.array(SQUARES, f"{order}f4").tobytes() + body


ASCII = ply(rows(SQUARES), QUADS)
MIXED = [[0, 1, 2], [0, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    "content",
    [
        ASCII,
        ASCII.replace("\n", "\r\n"),
        ASCII.replace("\n", "\r"),
        ASCII.replace("element face", "\nelement face"),
        ASCII.replace("end_header", "comment x\nobj_info y 1\nend_header "),
        ASCII.replace("float x", "float32 x").replace("uchar int", "uint8 int32").replace("indices", "index"),
        ASCII.replace("end_header", "element edge 1\nproperty int vertex1\nend_header") + "0\n",
        ASCII.replace("end_header", "element edge 0\nproperty int vertex1\nend_header"),
        ply(rows(SQUARES, [[7, 1.5]] * 8), "9 4 0 1 2 3 2 .5 .5\n9 4 4 5 6 7 0\n", XYZ + "property int flags\nproperty "
            "double quality\n", "property int flags\n" + LIST + "property list uchar float more\n"),
        "ply\nformat ascii 1.0\nelement face 2\n" + LIST + "element vertex 8\n" + XYZ + "end_header\n" + QUADS
        + rows(SQUARES),
        f"ply\nformat ascii 1.0\nelement vertex 8\n{XYZ}element tristrips 1\nproperty list int int vertex_indices\n"
        f"end_header\n{rows(SQUARES)}9 0 1 3 2 -1 4 5 7 6\n",
        *(binary(order, faces) for order in "<>" for faces in (MIXED, [[0, 1, 2, 3], [4, 5, 6, 7]])),
        binary("<", MIXED, newline="\r\n"),
        binary(">", MIXED, "ushort", "H"),
        binary("<", MIXED, "int", "i"),
    ],
)  # fmt: skip
def test_two_grey_squares_in_every_spelling(content: str | bytes, tmp_path: Path) -> None:
    mesh = drawn(tmp_path / "m.ply", content)
    assert mesh.vertices[:, 1].max() == pytest.approx(HEIGHT, abs=1e-4) and areas(mesh).sum() == pytest.approx(1)
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    assert mean(mesh) == GREY and (np.cross(b - a, c - a)[:, 1] > 0).all()


def test_survey_coordinates_keep_their_shape(tmp_path: Path) -> None:
    far = (np.array(SQUARES) + [4_500_000.5, 923_456.25, 100]).tolist()
    vertices = "".join(" ".join(map(repr, row)) + "\n" for row in far)
    mesh = drawn(tmp_path / "m.ply", ply(vertices, QUADS, XYZ.replace("float", "double")))
    assert mesh.vertices[:, 1].max() == pytest.approx(HEIGHT, abs=1e-4)


def test_concave_polygons_keep_their_notch(tmp_path: Path) -> None:
    corners = [[0, 0, 0], [3, 0, 0], [3, 1, 0], [1, 1, 0], [1, 3, 0], [0, 3, 0]]
    mesh = drawn(tmp_path / "m.ply", ply(rows(corners), "6 1 2 3 4 5 0\n"))
    assert areas(mesh).sum() * 9 / np.ptp(mesh.vertices[:, 0]) ** 2 == pytest.approx(5, abs=1e-3)


HALF = np.array([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0]])


@pytest.mark.parametrize("names", ["red green blue", "diffuse_red diffuse_green diffuse_blue", "r g b"])
@pytest.mark.parametrize(
    "kind, full", [("uchar", 255), ("ushort", 65535), ("ushort", 255), ("int", 255), ("float", 1), ("float", 255)]
)
def test_colours_of_vertices(kind: str, full: int, names: str, tmp_path: Path) -> None:
    """With coordinates of a texture that is not named, which tell nothing."""
    colors = (HALF * full).round().tolist() if full > 1 else HALF.tolist()
    properties = XYZ + "".join(f"property {kind} {name}\n" for name in (*names.split(), "alpha"))
    vertices = rows(SQUARES[:4], colors, [[full, 0.1, 0.2]] * 4)
    mesh = drawn(tmp_path / "m.ply", ply(vertices, "4 0 1 2 3\n", properties + "property float s\nproperty float t\n"))
    assert mean(mesh) == pytest.approx(PAINT, abs=0.01)


def test_colours_of_faces_and_of_white_vertices(tmp_path: Path) -> None:
    rgb = "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))
    mesh = drawn(
        tmp_path / "m.ply",
        ply(rows(SQUARES, [[255] * 3] * 8), "4 0 1 2 3 255 0 0\n4 4 5 6 7 0 0 255\n", XYZ + rgb, LIST + rgb),
    )
    high = mesh.vertices[mesh.faces][..., 1].min(1) > 0.1
    assert mean(mesh, high) == (0, 0, 1) and mean(mesh, ~high) == (1, 0, 0)


UV = [[0, 0], [1, 0], [1, 1], [0, 1]]
WEDGES = "3 0 1 2 6 0 0 1 0 1 1\n3 0 2 3 6 0 0 1 1 0 1\n"
TEXCOORD = LIST + "property list uchar float texcoord\n"


@pytest.mark.parametrize("names", ["s t", "u v", "texture_u texture_v", ""])
def test_textures_as_meshlab_names_them(names: str, tmp_path: Path) -> None:
    image(tmp_path / "my tex.png")
    before = "comment TextureFile my tex.png\n"
    if names:
        properties = XYZ + "".join(f"property float {name}\n" for name in names.split())
        content = ply(rows(SQUARES[:4], UV), "4 0 1 2 3\n", properties, before=before)
    else:
        content = ply(rows(SQUARES[:4]), WEDGES, face=TEXCOORD, before=before)
    assert shows_quarters(drawn(tmp_path / "m.ply", content))


def test_faces_choose_their_texture(tmp_path: Path) -> None:
    """The second of two images, and no coordinates at all for the upper square."""
    image(tmp_path / "t.png")
    faces = "".join(f"{row} 1\n" for row in WEDGES.split("\n")[:2]) + "4 4 5 6 7 0 0\n"
    before = "comment TextureFile gone.png\ncomment TextureFile t.png\n"
    content = ply(rows(SQUARES), faces, face=TEXCOORD + "property int texnumber\n", before=before)
    mesh = drawn(tmp_path / "m.ply", content)
    high = mesh.vertices[mesh.faces][..., 1].min(1) > 0.1
    assert mean(mesh, high) == GREY and mean(mesh, ~high) == (0.5, 0.5, 0.25)


REFUSED: dict[str | bytes, str] = {
    "": "it does not begin with 'ply': it is no PLY file, export it as one",
    ASCII.replace("end_header", ""): "its header has no 'end_header': the file was cut off",
    ASCII.replace("format ascii 1.0\n", ""): "its header has no line 'format': the file is broken, export it again",
    ASCII.replace("float x", "real x"): "line 4 of its header, 'property real x': it has no meaning in PLY",
    ASCII.replace("vertex 8", "vertex -8"): "line 3 of its header, 'element vertex -8': it has no meaning in PLY",
    ASCII.replace("float x", "float a"): "its header has no element 'vertex' with x, y and z",
    ASCII.replace("list uchar int v", "int v"): "it has 8 numbers more than its header declares",
    ASCII.replace("face 2", "face 2000000000"): "element 'face' has 2000000000 rows, at least 2000000000 numbers",
    ASCII.replace("face 2", "face 3"): "element 'face', row 3: the file ends there, or its count is broken",
    ASCII.replace("face 2", "face 1"): "it has 5 numbers more than its header declares: the file",
    ASCII.replace("4 4 5", "4 4 8"): "element 'face', row 2: vertex 8 is out of range, there are 8, counted from 0",
    ASCII.replace("4 4 5", "4 4 -1"): "element 'face', row 2: vertex -1 is out of range, there are 8, counted from 0",
    ASCII.replace("4 4 5", "4 4 5.5"): "element 'face': 'vertex_indices' is no list of whole numbers",
    ASCII.replace("4 4 5", "-4 4 5"): "element 'face', row 2: the file ends there, or its count is broken",
    ASCII.replace("4 4 5", "4 4 x"): "line 10 after its header, '4 4 x 6 7': not all of it is numbers",
    ASCII.replace("4 4 5 6 7", "2 4 5"): "element 'face', row 2: it has 2 corners, a face has at least three: the file",
    binary("<", MIXED)[:-1]: "element 'face', row 3: the file ends there, or its count is broken",
    binary("<", MIXED)[:200]: "element 'vertex' has 8 rows, at least 96 bytes, but ",
    ply(rows(SQUARES[:4]), WEDGES.replace("6", "4").replace(" 1 1\n", "\n").replace(" 0 1\n", "\n"), face=TEXCOORD,
        before="comment TextureFile t.png\n"): "element 'face', row 1: its 'texcoord' has 4 numbers, not two",
    ply(rows(SQUARES[:4]), WEDGES, face=TEXCOORD, before="comment TextureFile t.png\n"): "its header names the image "
    "'t.png', which is not there: put it beside the file, or delete the line 'comment TextureFile'",
}  # fmt: skip


@pytest.mark.parametrize("content", REFUSED)
def test_broken_plys(content: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(REFUSED[content])):
        drawn(tmp_path / "m.ply", content)
