"""The triangles of a glTF file's scene, coloured and in place."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.gltf.document import Document, Item, opened, vector
from renderers.mesh.files.gltf.materials import Coat, Coats
from renderers.mesh.files.gltf.primitives import Primitive, Shape
from renderers.mesh.files.gltf.scene import SIMPLER, Scene
from renderers.mesh.files.gltf.transparency import trimmed
from renderers.mesh.files.part import Array, Part
from renderers.mesh.files.placing import moved
from renderers.mesh.files.texts import BROKEN

MOST = 20_000_000  # triangles


class Piece(NamedTuple):
    """A part, and the texels (H, W) of its texture that are there; None: all."""

    part: Part
    opaque: NDArray[np.bool_] | None


def read(path: Path) -> list[Part]:
    """The parts of a GLB or glTF file: of its own scene, at rest, each mesh where its node is.

    Errors:
        ValueError for what cannot be read: a broken file, a feature or an extension that is not known here, a file that
        it needs and that is not there.
    """
    try:
        with np.errstate(all="ignore"):  # what is not finite is found and named when all is read
            return _parts(opened(path))
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError) as error:  # a JSON of another form
        raise ValueError(f"could not be read ({type(error).__name__}: {error}): {BROKEN}") from error


def _parts(document: Document) -> list[Part]:
    pieces, count = list[Piece](), 0
    for piece in _pieces(document):
        count += len(piece.part.corners)
        if count > MOST:
            raise ValueError(f"it has over {MOST} triangles, those of a mesh as often as it draws it: {SIMPLER}")
        pieces.append(piece)
    points = np.concatenate([np.zeros((0, 3)), *(piece.part.corners.reshape(-1, 3) for piece in pieces)])
    size = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
    parts = [piece.part if piece.opaque is None else trimmed(piece.part, piece.opaque, size) for piece in pieces]
    return [part for part in parts if len(part.corners)]


def _pieces(document: Document) -> Iterator[Piece]:
    coats, scene = Coats(document), Scene(document)
    for index in scene.nodes():
        node = document.item("nodes", index)
        if "mesh" in node:
            mesh = document.item("meshes", node["mesh"])
            given = node.get("weights") or mesh.get("weights") or []
            weights = vector(given, len(given), "the weights of a mesh")
            for content in mesh["primitives"]:
                yield from _drawn(scene, index, node, Primitive(document, content, weights), coats)


def _drawn(scene: Scene, index: int, node: Item, primitive: Primitive, coats: Coats) -> Iterator[Piece]:
    """A primitive once for each time that its node draws it."""
    shape = primitive.shape()
    if shape is None:
        return
    coat, places = coats.of(primitive.material, shape.colors is not None), scene.instances(index)
    if "skin" in node and shape.joints is not None:  # whose joints say where it is, and not its node
        shape, places = _posed(shape, scene.joints(node["skin"])), [np.eye(4)]
    part = _part(primitive, shape, coat)
    for place in places:
        yield Piece(_placed(part, place), coat.opaque)


def _part(primitive: Primitive, shape: Shape, coat: Coat) -> Part:
    faces = _opaque_faces(shape, coat)
    tint = np.broadcast_to(coat.factor[:3], (*faces.shape, 3))
    if shape.colors is not None:
        tint = tint * shape.colors[faces, :3]
    part = Part(shape.positions[faces], tint, linear=True)
    if coat.texture is None:
        return part
    uv = primitive.texcoord(coat.texcoord) @ coat.transform[:, :2].T + coat.transform[:, 2]
    return part._replace(uv=uv[faces], texture=coat.texture)


def _opaque_faces(shape: Shape, coat: Coat) -> NDArray[np.int64]:
    """The faces that are not too transparent by factor and vertices."""
    alpha = np.full(len(shape.positions), coat.factor[3])
    if shape.colors is not None:
        alpha = alpha * shape.colors[:, 3]
    return shape.faces if coat.least is None else shape.faces[alpha[shape.faces].mean(1) >= coat.least]


def _posed(shape: Shape, maps: Array) -> Shape:
    """A skinned shape where its joints (J, 4, 4) have it: the mean of these by weights."""
    joints, weights = shape.joints, shape.weights
    assert joints is not None and weights is not None
    weights = np.where(weights.any(1, keepdims=True), weights, np.eye(weights.shape[1])[0])
    if (joints[weights != 0] >= len(maps)).any():
        raise ValueError(f"a vertex hangs on joint {joints[weights != 0].max()} of {len(maps)}, from 0: {BROKEN}")
    mixed = np.zeros((len(weights), 4, 4))
    for joint, weight in zip(joints.T, weights.T):
        mixed += weight[:, None, None] * maps[np.where(weight != 0, joint, 0)]
    mixed /= weights.sum(1)[:, None, None]
    positions = (mixed[:, :3, :3] @ shape.positions[:, :, None])[..., 0] + mixed[:, :3, 3]
    return shape._replace(positions=positions)


def _placed(part: Part, place: Array) -> Part:
    """Under a map (4, 4). One that mirrors turns the faces' winding about; glTF 2.0, 3.5.3."""
    part = part._replace(corners=moved(part.corners, place))
    if np.linalg.det(place[:3, :3]) >= 0:
        return part
    uv = None if part.uv is None else part.uv[:, ::-1]
    return part._replace(corners=part.corners[:, ::-1], tint=part.tint[:, ::-1], uv=uv)
