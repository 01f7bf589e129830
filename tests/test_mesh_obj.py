"""OBJ and MTL files as programs write them: what is drawn, what is said, and what is refused."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from mesh_files_for_tests import GREY, areas, drawn, image, mean, shows_quarters

CORNERS = "v -1 0 1\nv 1 0 1\nv 1 0 -1\nv -1 0 -1\n"
SQUARE = CORNERS + "f 1 2 3 4\n"
USED = "mtllib m.mtl\n" + CORNERS + "usemtl a\nf 1 2 3 4\n"
UV = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
TEXTURED = "mtllib m.mtl\n" + CORNERS + UV + "usemtl a\nf 1/1 2/2 3/3 4/4\n"
BLUE = (0.2, 0.4, 0.6)
MTL = "newmtl a\nKd 0.2 0.4 0.6\n"
PAINTED = "v -1 0 1 .5 0 0\nv 1 0 1 0 .5 0\nv 1 0 -1 0 0 .5\nv -1 0 -1 .5 .5 0\n"
PAINT = (0.25, 0.17, 0.17)


@pytest.mark.parametrize(
    "content",
    [
        SQUARE,
        SQUARE.replace(" ", "\t"),
        SQUARE.replace("\n", "\n   "),
        SQUARE.replace("\n", " # here\n"),
        SQUARE.replace("\n", "\r\n"),
        SQUARE.replace("\n", "\r"),
        CORNERS + "f 1 2 \\\n3 4\n",
        "# C:\\folder\\\n" + SQUARE,
        "\ufeff" + SQUARE,
        SQUARE.encode("utf-16"),
        "# caf\xe9\n".encode("latin-1") + SQUARE.encode(),
        "f 1 2 3 4\n" + CORNERS,
        CORNERS + "f -4 -3 -2 -1\n",
        CORNERS + UV + "vn 0 1 0\nf 1//1 2//1 3//1\nf 1/1/1 3/3/1 4/4/1\n",
        CORNERS + "f 1/0 2/0 3/0 4/0\n",
        CORNERS.replace("\n", " 1.0\n") + "p 1\nl 1 2 3\nfo 1 2 3 4\n",
        "mtllib gone.mtl\n" + SQUARE,
        "# mtllib gone.mtl\n# usemtl a\n" + SQUARE,
        CORNERS + UV + "f 1/1 2/2 3/3 4/4\n",
        "v -1e0 0 1E+00\nv 1.0e+00 0 1.\nv 1 0 -.1e+1\nv -1 0 -10e-1\ng x\ns off\nf 1 2 3 4\n",
    ],
)
def test_a_grey_square_in_every_spelling(content: str | bytes, tmp_path: Path) -> None:
    mesh = drawn(tmp_path / "m.obj", content)
    assert mean(mesh) == GREY and areas(mesh).sum() == pytest.approx(0.5) and len(mesh.faces) == 2


def test_negative_indices_count_back_from_their_own_line(tmp_path: Path) -> None:
    upper = CORNERS.replace(" 0 ", " 1 ")
    mesh = drawn(tmp_path / "m.obj", CORNERS + "f -4 -3 -2 -1\n" + upper + "f -4 -3 -2 -1\n")
    assert mesh.vertices[:, 1].max() == pytest.approx(1 / math.sqrt(8), abs=1e-4) and len(mesh.vertices) == 8


@pytest.mark.parametrize("turned", range(6))
def test_concave_polygons_keep_their_notch(turned: int, tmp_path: Path) -> None:
    corners = "v 0 0 0\nv 3 0 0\nv 3 1 0\nv 1 1 0\nv 1 3 0\nv 0 3 0\nv 1 2 0\n"  # the last in line with its neighbours
    face = np.roll([1, 2, 3, 4, 7, 5, 6], turned)
    mesh = drawn(tmp_path / "m.obj", f"{corners}f {' '.join(map(str, face))}\n")
    assert areas(mesh).sum() == pytest.approx(5 / mesh_size(mesh, 3) ** 2, abs=1e-4)


def mesh_size(mesh: object, width: float) -> float:
    """Units of the file in one of ours, of an object so wide there."""
    return float(width / np.ptp(mesh.vertices[:, 0]))  # type: ignore[attr-defined]


def test_a_dart_is_cut_along_its_inner_diagonal(tmp_path: Path) -> None:
    for turned in range(4):
        face = " ".join(map(str, np.roll([1, 2, 3, 4], turned)))
        mesh = drawn(tmp_path / "m.obj", f"v 0 0 0\nv 4 0 0\nv 1 1 0\nv 0 4 0\nf {face}\n")
        assert areas(mesh).sum() == pytest.approx(4 / mesh_size(mesh, 4) ** 2, abs=1e-4)


@pytest.mark.parametrize(
    "content, materials",
    [
        (USED, MTL),
        (USED, MTL.replace("\n", "\r\n").replace(" ", "\t")),
        (USED, MTL + "newmtl b\nmap_Kd gone.png\n"),
        (USED, MTL + "d 0.1\n"),
        (USED.replace(" a", " my blue"), MTL.replace(" a", " my blue")),
        (USED.replace(" a", ' "my blue"'), MTL.replace(" a", " my blue")),
        (USED.replace(" a", " blue # that one"), MTL.replace(" a", " blue")),
        (USED.replace(" a", " blue #1"), MTL.replace(" a", " blue #1")),
        (USED.replace("m.mtl", "none.mtl m.mtl"), MTL),
        (USED.replace("m.mtl", "none.mtl\nmtllib m.mtl"), MTL),
        (USED.replace("m.mtl", "M.MTL"), MTL),
        (USED.replace(" a", " gr\xfcn").encode("latin-1"), MTL.replace(" a", " gr\xfcn").encode("latin-1")),
        (USED.replace("f 1", "# usemtl b\nf 1"), MTL),
        (USED.replace(CORNERS, PAINTED), MTL.replace("0.2 0.4 0.6", "0.8 0.8 0.8")),
        (USED.replace(CORNERS, CORNERS.replace("\n", " 1 1 1\n")), MTL),
    ],
)
def test_materials_in_every_spelling(content: str | bytes, materials: str | bytes, tmp_path: Path) -> None:
    (tmp_path / "m.mtl").write_bytes(materials.encode() if isinstance(materials, str) else materials)
    mesh = drawn(tmp_path / "m.obj", content)
    assert mean(mesh) == (PAINT if ".5 .5 0" in str(content) else BLUE)


def test_faces_before_any_material_are_grey_and_a_mesh_may_have_two(tmp_path: Path) -> None:
    (tmp_path / "my materials.mtl").write_text(MTL)
    (tmp_path / "n.mtl").write_text("newmtl b\nKd 1 0 0\n")
    upper = CORNERS.replace(" 0 ", " 1 ")
    text = f"mtllib my materials.mtl n.mtl\n{CORNERS}{upper}f 1 2 3 4\nusemtl a\nf 5 6 7\nusemtl b\nf 5 7 8\n"
    mesh = drawn(tmp_path / "m.obj", text)
    assert {tuple(color) for color in mesh.colors[:, 0].astype(np.float64).round(2).tolist()} == {GREY, BLUE, (1, 0, 0)}


@pytest.mark.parametrize("scale", [1, 255])
def test_colours_of_vertices(scale: int, tmp_path: Path) -> None:
    colors = [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0]]
    rows = [f"{row} {' '.join(f'{scale * c:g}' for c in color)}" for row, color in zip(CORNERS.split("\n"), colors)]
    for behind in ("", " 1"):
        mesh = drawn(tmp_path / "m.obj", f"{behind}\n".join(rows) + f"{behind}\n{UV}f 1/1 2/2 3/3 4/4\n")
        assert mean(mesh) == pytest.approx(PAINT, abs=0.01)


@pytest.mark.parametrize(
    "line, file",
    [
        ("map_Kd t.png", "t.png"),
        ("map_Kd my tex.png", "my tex.png"),
        ('map_Kd "my tex.png"', "my tex.png"),
        ("map_Kd tex\\t.png", "tex/t.png"),
        ("map_Kd C:\\Users\\me\\t.png", "t.png"),
        ("map_Kd /home/me/t.png", "t.png"),
        ("map_Kd ../t.png", "../t.png"),
        ("map_Kd T.PNG", "t.png"),
        ("map_Kd -s 1 1 1 -o 0 0 t.png", "t.png"),
        ("map_Kd -s 1 t.png", "t.png"),
        ("map_Kd -o 1 -2 0 t.png", "t.png"),
        ("map_Kd -clamp on -blendu off -mm 0 1 -texres 64 t.png", "t.png"),
        ("map_Kd -colorspace sRGB t.png # that one", "t.png"),
        ("Kd 0 0 0\nmap_Kd t.png", "t.png"),
        ("map_kd\tt.png", "t.png"),
    ],
)
def test_images_in_every_spelling(line: str, file: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    image(folder / file)
    (folder / "m.mtl").write_text(f"newmtl a\n{line}\n")
    assert shows_quarters(drawn(folder / "m.obj", TEXTURED))


def test_options_of_images_count(tmp_path: Path) -> None:
    image(tmp_path / "t.png")
    for options, expected in (("-s .4 .4", (0, 0, 1)), ("-s .4 .4 -o .55 .55", (0, 1, 0)), ("-mm .5 0", (0.5,) * 3)):
        (tmp_path / "m.mtl").write_text(f"newmtl a\nmap_Kd {options} t.png\n")
        assert mean(drawn(tmp_path / "m.obj", TEXTURED)) == expected
    (tmp_path / "m.mtl").write_text("newmtl a\nmap_Kd -s 9 9 -o 1 0 -clamp on t.png\n")
    assert mean(drawn(tmp_path / "m.obj", TEXTURED)) == pytest.approx((0, 1, 0), abs=0.15)


def test_an_image_is_found_beside_its_material_file(tmp_path: Path) -> None:
    image(tmp_path / "mat" / "t.png")
    (tmp_path / "mat" / "m.mtl").write_text("newmtl a\nmap_Kd t.png\n")
    assert shows_quarters(drawn(tmp_path / "m.obj", TEXTURED.replace("m.mtl", "mat\\m.mtl")))


def test_faces_without_coordinates_have_the_materials_colour(tmp_path: Path) -> None:
    image(tmp_path / "t.png")
    (tmp_path / "m.mtl").write_text(MTL + "map_Kd t.png\n")
    mesh = drawn(tmp_path / "m.obj", TEXTURED.replace("v -1 0 -1\n", "v -1 0 -1\nv 0 1 0\n") + "f 1 2 5\n")
    high = mesh.vertices[mesh.faces][..., 1].max(1) > 0.1
    assert mean(mesh, high) == BLUE and (0, 0, 1) in map(tuple, mesh.colors[~high][:, 0].tolist())


@pytest.mark.parametrize(
    "content, said",
    [
        (
            USED,
            "faces have the materials a, but its material files m.mtl are not there: they are drawn grey, or as their",
        ),
        (
            SQUARE.replace("f", "usemtl a\nf"),
            "faces have the materials a, but no material file has them: they are drawn",
        ),
    ],
)
def test_missing_materials_are_said_and_grey(content: str, said: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=re.escape(f"{str(tmp_path / 'm.obj')!r}: {said}")):
        assert mean(drawn(tmp_path / "m.obj", content)) == GREY


REFUSED = {
    "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 7\n": "line 4, 'f 1 2 7': '7' is out of range, there are 3 vertices, count",
    SQUARE
    + "f 0 1 2\n": "line 6, 'f 0 1 2': '0' is out of range, there are 4 vertices, counted from 1: the file is bro",
    SQUARE + "f 1 2 -5\n": "line 6, 'f 1 2 -5': '-5' is out of range, there are 4 vertices",
    SQUARE + f"f 1 2 {10**12}\n": "'1000000000000' is out of range, there are 4 vertices",
    SQUARE + f"f 1 2 {10**30}\n": "a corner is v, v/vt, v//vn or v/vt/vn, whole numbers",
    CORNERS + UV + "f 1/1 2/2 3/9\n": "line 9, 'f 1/1 2/2 3/9': '3/9' is out of range, there are 4 texture coordinates",
    SQUARE + "f 1 2\n": "line 6, 'f 1 2': a face has at least three corners: the file is broken, export it again",
    SQUARE + "f 1 2 x\n": "line 6, 'f 1 2 x': a corner is v, v/vt, v//vn or v/vt/vn, whole numbers: the file is broken",
    SQUARE + "f 1 2 /3\n": "line 6, 'f 1 2 /3': a corner is v, v/vt",
    SQUARE + "f 1 2 3/1/1/1\n": "line 6, 'f 1 2 3/1/1/1': a corner is v, v/vt",
    SQUARE + "f 1 2 1-3\n": "line 6, 'f 1 2 1-3': a corner is v, v/vt",
    SQUARE + "f 1 2\x00 3\n": "a corner is v, v/vt, v//vn or v/vt/vn, whole numbers",
    SQUARE + "f 1 2 3.5\n": "line 6, 'f 1 2 3.5': a corner is v, v/vt",
    "v 1 2\n"
    + SQUARE: "line 1, 'v 1 2': a vertex has x y z, or x y z w, or x y z r g b, or x y z r g b a: the file is",
    "v 1 2 x\n" + SQUARE: "line 1, '1 2 x': it is not 3 numbers: the file is broken, export it again",
    SQUARE + "vt 1 x\n": "line 6, '1 x': it is not 2 numbers: the file is broken, export it again",
    SQUARE + "v 1 2 3 -1 0 0\n": "its colours are from -1 to 0, and neither shares from 0 to 1 nor bytes from 0 to 255",
    SQUARE
    + "surf 0 1 0 1 1 2 3 4\n": "line 6: 'surf', free-form surfaces and other files' contents, cannot be drawn: exp",
}


@pytest.mark.parametrize("content", REFUSED)
def test_broken_objs(content: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(REFUSED[content])):
        drawn(tmp_path / "m.obj", content)


@pytest.mark.parametrize(
    "line, said",
    [
        (
            "Kd spectral a.rfl 1",
            "material 'a' of 'm.mtl': colours by 'Kd spectral' are not supported: write 'Kd' and red",
        ),
        (
            "Kd 1 x 0",
            "material 'a' of 'm.mtl': 'Kd' has '1 x 0', not red, green and blue from 0 to 1: the file is broken",
        ),
        (
            "map_Kd wood.png",
            "material 'a' of 'm.mtl': it names the image 'wood.png', which is not there: put it beside",
        ),
        ("map_Kd m.mtl", "the image m.mtl could not be read"),
    ],
)
def test_broken_materials(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "m.mtl").write_text(f"newmtl a\n{line}\n")
    with pytest.raises(ValueError, match=re.escape(said)):
        drawn(tmp_path / "m.obj", TEXTURED)
