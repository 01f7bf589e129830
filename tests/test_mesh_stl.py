"""STL files, binary and ASCII, their colours, and what is refused."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from mesh_files_for_tests import GREY, areas, drawn, mean

CORNERS = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0], [0, 0, 2]], float)
FACES = [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]]
RED = 0x8000 | 31 << 10


def binary(header: bytes = b"made here", colors: tuple[int, ...] = (0, 0, 0, 0)) -> bytes:
    facets = [struct.pack("<12fH", 0, 0, 0, *CORNERS[face].ravel(), color) for face, color in zip(FACES, colors)]
    return header.ljust(80, b"\0") + struct.pack("<I", len(FACES)) + b"".join(facets)


def ascii_solid(name: str = "box", faces: list[list[int]] = FACES) -> str:
    rows = ["\n".join("vertex {} {} {}".format(*CORNERS[k]) for k in face) for face in faces]
    facets = [f"facet normal 0 0 0\nouter loop\n{row}\nendloop\nendfacet\n" for row in rows]
    return f"solid {name}\n{''.join(facets)}endsolid {name}\n"


@pytest.mark.parametrize(
    "content",
    [
        binary(),
        binary(b"solid box"),
        binary() + b"more",
        ascii_solid(),
        ascii_solid().upper(),
        ascii_solid().replace("\n", "\r\n"),
        ascii_solid().replace("\n", " "),
        ascii_solid("vertex normal solid"),
        ascii_solid("caf\xe9").encode("latin-1"),
        ascii_solid(faces=FACES[:2]) + ascii_solid(faces=FACES[2:]),
        "  " + ascii_solid().replace("endloop", "end loop").replace("vertex", "  vertex"),
    ],
)
def test_a_grey_solid_in_every_spelling(content: str | bytes, tmp_path: Path) -> None:
    mesh = drawn(tmp_path / "m.stl", content)
    assert mesh.closed and len(mesh.faces) == 4 and mean(mesh) == GREY
    assert mesh.vertices[:, 1].max() == pytest.approx(2 / np.hypot(4, 4), abs=1e-4)


def test_colours_of_viscam_and_magics(tmp_path: Path) -> None:
    assert mean(drawn(tmp_path / "m.stl", binary(colors=(RED,) * 4))) == (1, 0, 0)
    some = drawn(tmp_path / "m.stl", binary(colors=(RED, 31 << 10, 0, 0)))  # without the bit it is no colour
    assert sorted(some.colors[:, 0].astype(np.float64).round(2).tolist()) == [list(GREY)] * 3 + [[1, 0, 0]]
    magics = b"COLOR=\xff\0\0\xff,MATERIAL="
    assert mean(drawn(tmp_path / "m.stl", binary(magics))) == (1, 0, 0)
    mesh = drawn(tmp_path / "m.stl", binary(magics, (31 << 10, 0x8000, 0x8000, 31 << 5)))
    assert sorted(mesh.colors[:, 0].tolist()) == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 0]]
    assert areas(mesh)[mesh.colors[:, 0, 2] == 1] == pytest.approx(0.25)


@pytest.mark.parametrize(
    "content, said",
    [
        (
            b"",
            "it has 0 bytes, too few for a binary STL file, and does not begin with 'solid' as an ASCII one does: the",
        ),
        (
            binary()[:-1],
            "its header says 4 triangles, but it ends within triangle 4: the file was cut off, or its header",
        ),
        (binary()[:-120], "its header says 4 triangles, but it ends within triangle 2"),
        (b"\0" * 80 + b"\xff" * 4, "its header says 4294967295 triangles, but it ends within triangle 1"),
        (ascii_solid()[:-60], "it ends within or after triangle 3, without its 'endsolid': the file was cut off"),
        (ascii_solid()[:-14], "it ends within or after triangle 4, without its 'endsolid'"),
        (
            ascii_solid().replace("4.0", "x"),
            "triangle 1, '0.0 0.0 0.0 0.0 x 0.0 x 0.0 0.0': it is not 9 numbers: the fil",
        ),
        (ascii_solid().replace("vertex 4.0 0.0 0.0\n", "", 1), ": it has not three times 'vertex': the file is broken"),
    ],
)
def test_broken_stls(content: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        drawn(tmp_path / "m.stl", content)
