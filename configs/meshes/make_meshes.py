"""Makes the meshes of scenes3d_meshes.yaml: mug.glb (a texture), chair.obj (materials), plane.ply (vertex colours).

python configs/meshes/make_meshes.py        # needs trimesh; writes beside itself, always the same files
"""

from pathlib import Path

import numpy as np
import trimesh
from PIL import Image, ImageDraw
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

HERE = Path(__file__).parent
SEGMENTS = 20


def mug() -> trimesh.Scene:
    """A mug with a handle and an image around it; y up, metres."""
    image = Image.new("RGB", (128, 64), (40, 90, 210))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 44, 127, 55], fill=(245, 245, 235))
    draw.ellipse([50, 8, 78, 36], fill=(250, 140, 20))
    # radius, height and v of the texture: up the outside, over the rim, down the inside
    profile = [(0, 0, 0), (0.044, 0, 0), (0.048, 0.1, 1.0), (0.042, 0.1, 1.0), (0.039, 0.012, 1.0), (0, 0.012, 1)]
    angles = np.linspace(0, 2 * np.pi, SEGMENTS + 1)
    vertices = [[r * np.sin(a), h, r * np.cos(a)] for r, h, _ in profile for a in angles]
    uv = [[a / (2 * np.pi), 0.999 * v] for _, _, v in profile for a in angles]
    body = trimesh.Trimesh(vertices, _grid(len(profile), SEGMENTS + 1), process=False)
    body.visual = TextureVisuals(np.array(uv), PBRMaterial(baseColorTexture=image, baseColorFactor=[255] * 4))
    handle = trimesh.creation.torus(0.027, 0.009, major_sections=10, minor_sections=5)
    upright = trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0], [0, 0, 0])
    handle.apply_transform(trimesh.transformations.translation_matrix([0, 0.052, 0.052]) @ upright)
    handle.visual = TextureVisuals(material=PBRMaterial(baseColorFactor=[245, 245, 235, 255]))
    return trimesh.Scene({"body": body, "handle": handle})


def _grid(rows: int, columns: int) -> list[list[int]]:
    """Triangles between neighbouring rows of vertices, the first of which is lowest, seen from outside."""
    faces = []
    for row in range(rows - 1):
        for column in range(columns - 1):
            a, b = row * columns + column, row * columns + column + 1
            faces += [[a, b, b + columns], [a, b + columns, a + columns]]
    return faces


# centre and size of each box of the armchair, by material; y up, metres
CHAIR = {
    "wood": [([x, 0.09, z], [0.1, 0.18, 0.1]) for x in (-0.32, 0.32) for z in (-0.32, 0.32)]
    + [([x, 0.4, 0.04], [0.16, 0.5, 0.72]) for x in (-0.32, 0.32)],
    "cushion": [([0, 0.3, 0.02], [0.5, 0.26, 0.74]), ([0, 0.55, -0.32], [0.8, 0.76, 0.16])],
}
MATERIALS = {"wood": (0.4, 0.22, 0.1), "cushion": (0.1, 0.6, 0.3)}


def chair() -> str:
    """The text of an OBJ file."""
    lines, count = ["mtllib chair.mtl"], 1
    for material, boxes in CHAIR.items():
        lines.append(f"usemtl {material}")
        for center, size in boxes:
            box = trimesh.creation.box(size)
            lines += ["v " + " ".join(f"{c:.4f}" for c in vertex) for vertex in box.vertices + center]
            lines += ["f " + " ".join(str(i + count) for i in face) for face in box.faces]
            count += len(box.vertices)
    return "\n".join(lines) + "\n"


def plane() -> trimesh.Trimesh:
    """A toy aeroplane along x, on two wheels; z up, centimetres."""
    profile = np.array([[0, -7], [1.2, -6], [2.4, -1], [2.4, 4], [1.5, 6.5], [0, 7]])
    hull = trimesh.creation.revolve(profile, sections=10)
    hull.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0]))
    parts = [(hull, (250, 200, 40)), (_box([1.5, 0, 0.4], [4.6, 15, 1]), (200, 30, 60))]
    tail = [_box([-5.8, 0, 0.8], [2.6, 7, 0.8]), _box([-5.8, 0, 2.4], [2.6, 0.8, 4])]
    parts += [(part, (200, 30, 60)) for part in tail]
    parts += [(_box([3, y, -2.6], [2, 0.8, 2]), (50, 50, 60)) for y in (-1.6, 1.6)]
    for part, color in parts:
        part.visual.vertex_colors = color
    return trimesh.util.concatenate([part for part, _ in parts])


def _box(center: list[float], size: list[float]) -> trimesh.Trimesh:
    return trimesh.creation.box(size, trimesh.transformations.translation_matrix(center))


if __name__ == "__main__":
    mug().export(HERE / "mug.glb")
    (HERE / "chair.obj").write_text(chair())
    materials = [f"newmtl {name}\nKd {' '.join(str(c) for c in color)}\n" for name, color in MATERIALS.items()]
    (HERE / "chair.mtl").write_text("".join(materials))
    plane().export(HERE / "plane.ply")
