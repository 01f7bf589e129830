"""Meshes from files: formats and colours, where they stand, symmetry, decimation, and every word on what is refused."""

import json
import math
import re
import struct
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from air_lightning.testing import check_renderer
from renderers import MeshRenderer
from renderers.mesh import Mesh, MeshFile, read_mesh
from renderers.mesh.files.placing import smallest_circle

trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed: pip install trimesh")

MESHES = Path(__file__).parent.parent / "configs" / "meshes"
MUG, CHAIR = MeshFile(str(MESHES / "mug.glb"), faces=300), str(MESHES / "chair.obj")
PLANE = MeshFile(str(MESHES / "plane.ply"), up="z")
TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
PLY = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
PLY_FACES = "element face 1\nproperty list uchar int vertex_indices\nend_header\n"


def export(shape: Any, path: Path) -> None:
    """As trimesh does, but closing the several files of a glTF."""
    if path.suffix != ".gltf":
        shape.export(path)
        return
    for name, content in trimesh.exchange.gltf.export_gltf(trimesh.Scene(shape)).items():
        (path if name == "model.gltf" else path.parent / name).write_bytes(content)


def read(path: Path | str, **options: Any) -> Mesh:
    return read_mesh(path, **({"up": "z"} if str(path).endswith(".ply") else {}) | options)


def folds(mesh: Mesh) -> float:
    return 2 * math.pi / mesh.symmetry if mesh.symmetry else 0


def prism(sides: int) -> Any:
    """Half as wide again as high, z up."""
    return trimesh.creation.cylinder(0.4, 0.53, sections=sides)


# ---- formats, place and size


@pytest.mark.parametrize("ending", ["obj", "ply", "stl", "glb", "gltf"])
def test_every_format_gives_the_same_shape(ending: str, tmp_path: Path) -> None:
    """A ramp without any symmetry, z up in the file, far from the origin and large."""
    corners = np.array([[0, 0, 0], [4, 0, 0], [0, 2, 0], [4, 2, 0], [0, 0, 3], [0, 2, 3]], float) + [100, -50, 7]
    faces = [[0, 2, 1], [1, 2, 3], [0, 1, 4], [2, 5, 3], [0, 4, 2], [2, 4, 5], [1, 3, 4], [3, 5, 4]]
    export(trimesh.Trimesh(corners, faces, process=False), tmp_path / f"ramp.{ending}")
    mesh = read(tmp_path / f"ramp.{ending}", up="z")
    size = math.hypot(4, 2)  # the circle around it is larger than its height
    middle = 100 + 52 / 36  # of faces of areas 8, 10, 12 (two of them) and 6, whose middles are at 2, 2, 4/3 and 0
    expected = (corners[:, [0, 2, 1]] - [middle, 7, -49]) * [1, 1, -1] / size
    away = np.linalg.norm(mesh.vertices[:, None] - expected, axis=2)
    assert away.shape == (6, 6) and away.min(0).max() < 1e-4 and away.min(1).max() < 1e-4
    assert mesh.closed and len(mesh.faces) == 8 and mesh.symmetry == 2 * math.pi
    assert outward(mesh)


def outward(mesh: Mesh) -> bool:
    """Whether a convex mesh's faces are wound counter-clockwise seen from outside."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    return bool((np.sum(np.cross(b - a, c - a) * ((a + b + c) / 3 - mesh.vertices.mean(0)), 1) > 0).all())


@pytest.mark.parametrize("up", ["x", "y", "z", "-x", "-y", "-z"])
def test_up_turns_and_does_not_mirror(up: str, tmp_path: Path) -> None:
    """A peg lies along the file's axis with its only red face at the end that goes up."""
    peg = trimesh.creation.box([1, 1, 3])
    peg.visual.face_colors = [[255, 0, 0] if n[2] > 0.5 else [0, 0, 255] for n in peg.face_normals]
    axis = {"x": [1, 0, 0], "y": [0, 1, 0], "z": [0, 0, 1]}[up[-1]]
    peg.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], np.array(axis) * (-1 if up[0] == "-" else 1)))
    peg.export(tmp_path / "peg.ply")
    mesh = read(tmp_path / "peg.ply", up=up)
    red = mesh.vertices[mesh.faces[mesh.colors[:, 0, 0] == 1]]
    assert np.allclose(red[..., 1], 1, atol=1e-5) and np.allclose(mesh.vertices[:, 1].min(), 0, atol=1e-6)
    assert outward(mesh) and folds(mesh) == pytest.approx(4)


def test_up_is_the_formats_where_it_is_not_said(tmp_path: Path) -> None:
    for ending, height in (("glb", 0.5), ("obj", 0.5), ("stl", 1.0), ("ply", 1.0)):
        trimesh.creation.box([3, 2, 4]).export(tmp_path / f"box.{ending}")
        width = 5 if height == 0.5 else math.hypot(3, 2)
        expected = 2 / 5 if height == 0.5 else 1.0
        assert read(tmp_path / f"box.{ending}").vertices[:, 1].max() == pytest.approx(expected, abs=1e-5), width


def test_smallest_circle() -> None:
    random = np.random.default_rng(0)
    for count in (1, 2, 3, 7, 300):
        points = random.normal(size=(count, 2)) * [3, 1]
        center, radius = smallest_circle(points)
        away = np.linalg.norm(points - center, axis=1)
        assert away.max() == pytest.approx(radius, abs=1e-9)
        # smallest: no half plane through the centre is free of points on the circle
        on_it = points[away > radius * (1 - 1e-7)] - center
        for turn in np.linspace(0, 2 * np.pi, 50) if count > 1 else []:
            assert (on_it @ [np.cos(turn), np.sin(turn)] >= -1e-6 * radius).any()


def test_it_stands_over_its_surfaces_centre_of_mass(tmp_path: Path) -> None:
    """Two cubes of which one has four times the other's surface, however finely its faces are cut."""
    large, small = trimesh.creation.box([2, 2, 2]), trimesh.creation.box([1, 1, 1]).subdivide()
    small.apply_translation([5, 0, 0])
    trimesh.util.concatenate([large, small]).export(tmp_path / "cubes.obj")
    mesh = read(tmp_path / "cubes.obj")
    low, high = (mesh.vertices.min(0)[0], mesh.vertices.max(0)[0])
    assert low / (high - low) == pytest.approx(-2 / 6.5, abs=1e-6)  # from -1 to 5.5 in the file, its mass at 1


def test_points_in_line_have_a_circle() -> None:
    center, radius = smallest_circle(np.array([[0.0, 0], [1, 1], [3, 3], [2, 2]]))
    assert center.tolist() == pytest.approx([1.5, 1.5]) and radius == pytest.approx(math.hypot(1.5, 1.5))


def test_inside_out_bodies_are_turned_and_open_ones_keep_both_sides(tmp_path: Path) -> None:
    box = trimesh.creation.box([1, 1, 1])
    box.invert()
    box.export(tmp_path / "box.stl")
    mesh = read(tmp_path / "box.stl")
    assert mesh.closed and outward(mesh)
    box.update_faces(np.arange(len(box.faces)) > 0)
    box.export(tmp_path / "open.stl")
    assert not read(tmp_path / "open.stl").closed


# ---- colours


def test_vertex_face_and_material_colours(tmp_path: Path) -> None:
    box = trimesh.creation.box([1, 1, 1])
    box.visual.vertex_colors = np.where(box.vertices[:, 2:] > 0, [255, 0, 0, 255], [0, 0, 255, 255])
    for ending in ("ply", "glb", "obj"):
        box.export(tmp_path / f"vertex.{ending}")
        mesh = read(tmp_path / f"vertex.{ending}", up="z")
        high = mesh.vertices[mesh.faces][..., 1] > 0.1
        assert np.allclose(mesh.colors[high], [1, 0, 0]) and np.allclose(mesh.colors[~high], [0, 0, 1])
    (tmp_path / "m.mtl").write_text("newmtl red\nKd 1 0 0\nnewmtl green\nKd 0 1 0\n")
    text = "mtllib m.mtl\n" + TRIANGLE + "v 0 0 1\nusemtl red\nf 1 2 3\nusemtl green\nf 1 2 4\n"
    (tmp_path / "two.obj").write_text(text)
    assert sorted(read(tmp_path / "two.obj").colors[:, 0].tolist()) == [[0, 1, 0], [1, 0, 0]]


def test_without_colours_it_is_grey_and_colors_paints_all_of_it(tmp_path: Path) -> None:
    trimesh.creation.box([1, 1, 1]).export(tmp_path / "box.stl")
    assert np.allclose(read(tmp_path / "box.stl").colors, 0.7)
    meshes = {"box": str(tmp_path / "box.stl"), "mug": MUG}
    renderer = MeshRenderer(meshes=meshes, colors={"mug": (0.0, 0.0, 1.0)}, image_size=(32, 32))
    drawn = renderer.draw(torch.tensor([1]), torch.zeros(1, 3)).color[0]
    assert drawn[2].max() > 0.5 and drawn[:2].max() == 0


def textured(path: Path, image: NDArray[np.uint8], factor: tuple[int, ...] = (255,) * 4) -> None:
    """A standing unit square, both sides of it, whose texture is the image, upright."""
    corners = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    square = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(image), baseColorFactor=factor)
    square.visual = trimesh.visual.TextureVisuals(np.array(corners)[:, :2], material)
    export(square, path)


def test_textures_are_baked_where_they_are(tmp_path: Path) -> None:
    """Four quarters, of four colours, drawn face to face with the camera."""
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0], image[0, 1], image[1, 0], image[1, 1] = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]
    textured(tmp_path / "flag.glb", image)
    mesh = read(tmp_path / "flag.glb", detail=0.03)
    middle = mesh.vertices[mesh.faces].mean(1)
    quarters = ((-0.25, 0.75, [1, 0, 0]), (0.25, 0.75, [0, 1, 0]), (-0.25, 0.25, [0, 0, 1]), (0.25, 0.25, [1, 1, 0]))
    for x, y, color in quarters:
        near = np.abs(middle[:, :2] - [x, y]).max(1) < 0.2
        assert near.any() and np.allclose(mesh.colors[near], color, atol=0.01)
    edges = mesh.vertices[mesh.faces] - mesh.vertices[np.roll(mesh.faces, 1, 1)]
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2
    assert area.sum() == pytest.approx(1, abs=1e-4)  # cut, and nothing lost


def test_a_plain_texture_is_not_cut_and_its_factor_counts(tmp_path: Path) -> None:
    textured(tmp_path / "plain.glb", np.full((8, 8, 3), 200, np.uint8), (255, 51, 0, 255))
    mesh = read(tmp_path / "plain.glb")
    assert len(mesh.faces) == 2
    linear = ((200 / 255 + 0.055) / 1.055) ** 2.4 / 5  # a factor is linear
    assert np.allclose(mesh.colors, [200 / 255, 1.055 * linear ** (1 / 2.4) - 0.055, 0], atol=0.01)


def test_faces_bounds_a_texture_too(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::8] = 255
    textured(tmp_path / "stripes.glb", stripes)
    mesh = read(tmp_path / "stripes.glb")
    assert len(mesh.faces) > 200 and len(read(tmp_path / "stripes.glb", faces=100).faces) <= 100
    edges = mesh.vertices[mesh.faces] - mesh.vertices[np.roll(mesh.faces, 1, 1)]
    grey = (mesh.colors[:, 0, 0] > 0.05) & (mesh.colors[:, 0, 0] < 0.95)
    assert grey.any() and np.linalg.norm(edges[grey], axis=2).max() <= 0.1 + 1e-6
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2
    assert (area * mesh.colors[:, 0, 0]).sum() == pytest.approx(1 / 8, abs=0.01)  # no darker, no lighter


# ---- symmetry


@pytest.mark.parametrize("sides, expected", [(3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (48, 0)])
def test_prisms_have_as_many_turns_as_sides(sides: int, expected: int, tmp_path: Path) -> None:
    prism(sides).export(tmp_path / "prism.stl")
    assert folds(read(tmp_path / "prism.stl")) == pytest.approx(expected)


def test_colours_break_symmetry_and_stated_ones_win(tmp_path: Path) -> None:
    hexagon = prism(6)
    angle = np.arctan2(*hexagon.triangles_center[:, [1, 0]].T) % (2 * math.pi)
    for share, expected in ((1 / 6, 1), (1 / 2, 1)):
        hexagon.visual.face_colors = np.where(angle[:, None] < 2 * math.pi * share, [255, 0, 0, 255], [0, 0, 255, 255])
        hexagon.export(tmp_path / "hexagon.ply")
        assert folds(read(tmp_path / "hexagon.ply")) == expected
    hexagon.visual.face_colors = np.where((angle[:, None] // (math.pi / 3)) % 2, [255, 0, 0, 255], [0, 0, 255, 255])
    hexagon.export(tmp_path / "hexagon.ply")
    assert folds(read(tmp_path / "hexagon.ply")) == pytest.approx(3)
    assert folds(read(tmp_path / "hexagon.ply", symmetry=2)) == pytest.approx(2)
    assert read(tmp_path / "hexagon.ply", symmetry=0).symmetry == 0


def test_a_handle_is_seen(tmp_path: Path) -> None:
    """A cup of a turner's shape with a thin handle at one side."""
    handle = trimesh.creation.box([0.15, 0.04, 0.25], trimesh.transformations.translation_matrix([0.42, 0, 0.3]))
    trimesh.util.concatenate([prism(48), handle]).export(tmp_path / "cup.stl")
    assert read(tmp_path / "cup.stl").symmetry == 2 * math.pi


# ---- in the renderer


@pytest.fixture(scope="module")
def ours() -> MeshRenderer:
    return MeshRenderer(meshes={"mug": MUG, "chair": CHAIR, "plane": PLANE})


def test_identities_are_those_of_meshes(ours: MeshRenderer) -> None:
    assert ours.what.names == ("mug", "chair", "plane")
    assert ours.where.coordinates[-1].periods == (2 * math.pi,) * 3
    assert ours.heights == pytest.approx((0.735, 0.822, 0.485), abs=1e-3)
    mixed = MeshRenderer(("ball", "chair", "cone"), {"ball": "sphere", "chair": CHAIR}, image_size=(16, 16))
    assert mixed.what.names == ("ball", "chair", "cone") and mixed.where.coordinates[-1].periods[0] == 0
    assert list(mixed.digests) == ["mesh 'chair'"]


def test_our_meshes_keep_the_contract(ours: MeshRenderer) -> None:
    check_renderer(ours)


def test_a_mesh_file_draws_as_the_built_in_shape_it_is(tmp_path: Path) -> None:
    """The built-in cube, written to a file and read again: the same image at any pose."""
    cube = trimesh.creation.box([0.8, 0.8, 0.8])
    cube.visual.face_colors = [round(255 * c) for c in (0.9, 0.15, 0.15)] + [255]
    cube.export(tmp_path / "cube.ply")
    size = 0.8 * math.sqrt(2)
    renderer = MeshRenderer(
        meshes={"file": MeshFile(str(tmp_path / "cube.ply"), up="z"), "built": "cube"}, sizes={"file": size}
    )
    where = renderer.where.constrain(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))
    file, built = (renderer.draw(torch.full((8,), identity), where) for identity in (0, 1))
    differs = (file.color - built.color).abs().amax(1) > 0.004
    assert differs.sum() <= 0.005 * built.depth.isfinite().sum()


@pytest.mark.parametrize("backend", ["triton", "pytorch3d"])
def test_backends_draw_the_same_files(backend: str, tmp_path: Path) -> None:
    """A closed mesh of flat colours, and an open one whose colours blend."""
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    bowl = trimesh.creation.icosphere(1)
    bowl.visual.vertex_colors = np.random.default_rng(0).integers(0, 255, (len(bowl.vertices), 4), np.uint8)
    bowl.update_faces(bowl.triangles_center[:, 2] < 0.3)
    bowl.export(tmp_path / "bowl.ply")
    renderer = MeshRenderer(
        meshes={"chair": CHAIR, "bowl": MeshFile(str(tmp_path / "bowl.ply"), up="z")}, image_size=(32, 40), x=0.0
    )
    scenery = renderer._backend.scenery
    assert scenery.closed.tolist() == [True, False] and scenery.flat.tolist() == [True, False]
    module, name = {"triton": ("cuda", "Triton"), "pytorch3d": ("pytorch3d", "PyTorch3D")}[backend]
    other = getattr(import_module(f"renderers.mesh.backends.{module}"), name)(scenery)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    identities, poses = (
        torch.tensor([0, 1, 1]),
        torch.tensor([[0.0, 0, 0, 0.4], [0.3, 0, -0.5, 1.0], [-0.4, 0, 1.0, 2.0]]),
    )
    expected, found = (
        renderer._backend.layers(identities, poses),
        other.layers(identities.to(device), poses.to(device)).cpu(),
    )
    here, there = expected[:, 3].isfinite(), found[:, 3].isfinite()
    assert here.sum() > 60 and (here != there).sum() <= 2
    both = (here & there).unsqueeze(1)
    assert (((expected - found).abs() > 0.004) & both).any(1).sum() <= 2


def test_digests_say_what_is_drawn(tmp_path: Path) -> None:
    def digest(shape: Any) -> str:
        shape.export(tmp_path / "thing.stl")
        return MeshRenderer(meshes={"thing": str(tmp_path / "thing.stl")}, image_size=(16, 16)).digests["mesh 'thing'"]

    assert digest(prism(5)) == digest(prism(5)) != digest(prism(6))
    assert MeshRenderer(image_size=(16, 16)).digests == {}


# ---- what is refused


def glb_out_of_range(path: Path) -> None:
    trimesh.creation.box([1, 1, 1]).export(path)
    data = bytearray(path.read_bytes())
    start = 20 + struct.unpack_from("<I", data, 12)[0] + 8  # of the binary chunk, whose first part are the indices
    struct.pack_into("<I", data, start, 999)
    path.write_bytes(bytes(data))


BROKEN: dict[str, tuple[str, Any, str]] = {
    "missing": ("none.glb", None, "there is no such file: give its path (a relative one starts from the config file's"),
    "no ending": (
        "mug",
        "x",
        "neither a built-in shape (cube, sphere, cylinder, cone, drum, plate, "
        "cup, pan, bottle) nor a mesh file by its ending",
    ),
    "unknown ending": ("mug.blend", "x", "by its ending (.obj, .ply, .stl, .glb, .gltf)"),
    "no GLB": ("mug.glb", "garbage garbage garbage", "could not be read ("),
    "empty GLB": ("mug.glb", "", "could not be read ("),
    "no PLY": ("mug.ply", "garbage", "it does not begin with 'ply': it is no PLY file, export it as one"),
    "empty OBJ": ("mug.obj", "", "it has no faces, there is nothing to draw"),
    "points OBJ": ("mug.obj", TRIANGLE, "it has no faces, there is nothing to draw"),
    "points PLY": ("mug.ply", PLY + "end_header\n0 0 0\n1 0 0\n0 1 0\n", "it has no faces"),
    "empty STL": ("mug.stl", "solid x\nendsolid x\n", "it has no faces"),
    "GLB index": ("mug.glb", glb_out_of_range, "out of range"),
    "NaN": (
        "mug.obj",
        "v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "1 of 3 corners have vertices that are not finite, the f",
    ),
    "infinite": (
        "mug.ply",
        PLY + PLY_FACES + "0 0 0\n1 0 inf\n0 1 0\n3 0 1 2\n",
        "finite, the first is (1.0, 0.0, inf)",
    ),
    "one place": (
        "mug.obj",
        "v 1 2 3\nv 1 2 3\nv 1 2 3\nf 1 2 3\n",
        "its faces have no area: nothing of it could be seen",
    ),
    "a line": ("mug.obj", "v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "its faces have no area"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(case: str, tmp_path: Path) -> None:
    name, content, said = BROKEN[case]
    path = tmp_path / name
    if callable(content):
        content(path)
    elif content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(f"meshes['mug'] {str(path)!r}: ")) as error:
        MeshRenderer(meshes={"mug": str(path)})
    assert said in str(error.value)


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    textured(tmp_path / "flag.gltf", np.zeros((2, 2, 3), np.uint8))
    header = json.loads((tmp_path / "flag.gltf").read_text())
    header["images"] = [{"uri": "flag.png"}]
    (tmp_path / "flag.gltf").write_text(json.dumps(header))
    with pytest.raises(ValueError, match="it names the image 'flag.png', which is not there: put it there"):
        read(tmp_path / "flag.gltf")


@pytest.mark.parametrize(
    "options, said",
    [
        ({"up": "w"}, "mesh up must be one of x, y, z, -x, -y, -z, got 'w'"),
        ({"symmetry": -1}, "mesh symmetry must be at least 0, got -1: how many times in a full turn the object looks"),
        *(
            ({"symmetry": value}, f"mesh symmetry must be a whole number, got {value!r}: how many times in a full turn")
            for value in (1.5, "4", True, math.nan, math.inf, [4])
        ),
        ({"faces": 3}, "mesh faces must be at least 4, got 3: null draws all triangles of the file"),
        ({"faces": 30.5}, "mesh faces must be a whole number, got 30.5: null draws all triangles of the file"),
        ({"detail": 0.0}, "mesh detail must be positive, got 0.0"),
        ({"detail": "fine"}, "mesh detail must be positive, got 'fine'"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        MeshFile("mug.glb", **options)


def test_a_symmetry_may_be_numpys(tmp_path: Path) -> None:
    slab = trimesh.creation.box((1.0, 1.0, 0.5))
    slab.export(tmp_path / "slab.stl")
    assert [read_mesh(tmp_path / "slab.stl", symmetry=n).symmetry for n in (np.int64(4), 2)] == [math.tau / 4, math.pi]
    with pytest.raises(ValueError, match=r"^mesh symmetry must be a whole number, got 1.5: how many times"):
        read_mesh(tmp_path / "slab.stl", symmetry=1.5)  # type: ignore[arg-type]


def test_a_mapping_names_a_file_and_how_to_read_it() -> None:
    by_mapping, by_file = (
        MeshRenderer(identities=["box"], meshes={"box": file}).drawn_meshes[0].vertices
        for file in ({"path": str(CHAIR), "symmetry": 1}, MeshFile(str(CHAIR), symmetry=1))
    )
    assert (by_mapping == by_file).all()
    assert MeshRenderer(identities=["chair"], meshes={"chair": Path(CHAIR)}).drawn_meshes[0].vertices.any()
    for wrong in ({"path": "cube", "colour": 1}, {"up": "z"}, 3):
        with pytest.raises(ValueError, match=r"meshes\['box'\] must be a mesh file's path, a built-in shape's name"):
            MeshRenderer(identities=["box"], meshes={"box": wrong})


def test_read_mesh_takes_a_color_and_says_what_ply_does_not(tmp_path: Path) -> None:
    trimesh.creation.box([1, 1, 2]).export(tmp_path / "box.ply")
    with pytest.warns(
        UserWarning, match=r"box.ply': a PLY file does not say which axis points up, z is taken: give `up`"
    ):
        mesh = read_mesh(tmp_path / "box.ply", color=(1, 0, 0))
    assert (mesh.colors == [1, 0, 0]).all() and mesh.vertices[:, 1].max() == pytest.approx(1)
    with pytest.raises(ValueError, match=re.escape("color must be red, green and blue between 0 and 1, got (2, 0, 0)")):
        read_mesh(tmp_path / "box.ply", color=(2, 0, 0))


def test_names_that_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="meshes has 'mug', which is not one of the identities drawn: cube"):
        MeshRenderer(("cube",), {"mug": "mug.glb"})
    with pytest.raises(ValueError, match="unknown identity 'mug': the built-in shapes are .* `meshes` .* mug: FILE"):
        MeshRenderer(("cube", "mug"), {"cube": "sphere"})
