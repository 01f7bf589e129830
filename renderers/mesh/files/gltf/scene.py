"""Scenes of glTF: which meshes are where; glTF 2.0, 3.5."""

from collections.abc import Iterator

import numpy as np

from renderers.mesh.files.gltf.accessors import numbers
from renderers.mesh.files.gltf.document import Document, Item, vector
from renderers.mesh.files.part import Array
from renderers.mesh.files.texts import BROKEN

INSTANCING = "EXT_mesh_gpu_instancing"
POSE = {"TRANSLATION": "VEC3", "ROTATION": "VEC4", "SCALE": "VEC3"}
MOST = 100_000  # instances of a node
SIMPLER = "simplify it in a mesh editor"


class Scene:
    """The nodes of a document's scene, and where they are.

    Errors:
        ValueError where nodes are below themselves, or below two others.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._nodes = document.items("nodes")
        self._parents = self._tree()
        self._worlds: dict[int, Array] = {}

    def _tree(self) -> dict[int, int]:
        parents = dict[int, int]()
        for index, node in enumerate(self._nodes):
            for child in node.get("children", []):
                self._document.item("nodes", child)
                if child in parents:
                    raise ValueError(f"its nodes are no tree, number {child} is below two others: {BROKEN}")
                parents[child] = index
        return parents

    def world(self, index: int) -> Array:
        """The map (4, 4) from a node to the scene."""
        chain = [index]
        while chain[-1] in self._parents and chain[-1] not in self._worlds:
            chain.append(self._parents[chain[-1]])
            if len(chain) > len(self._nodes):
                raise ValueError(f"its nodes are no tree, number {index} is below itself: {BROKEN}")
        for node in reversed(chain):
            if node not in self._worlds:
                above = self._worlds[self._parents[node]] if node in self._parents else np.eye(4)
                self._worlds[node] = above @ local(self._document.item("nodes", node))
        return self._worlds[index]

    def nodes(self) -> Iterator[int]:
        """Those of the file's own scene, else of its first; of all, where it has none."""
        scenes = self._document.items("scenes")
        roots = [index for index in range(len(self._nodes)) if index not in self._parents]
        if scenes:
            roots = self._document.item("scenes", self._document.json.get("scene", 0)).get("nodes", [])
        waiting, seen = list(reversed(roots)), set[int]()
        while waiting:
            index = waiting.pop()
            node = self._document.item("nodes", index)
            if node.get("extensions", {}).get("KHR_node_visibility", {}).get("visible", True) and index not in seen:
                self.world(index)  # which refuses what is below itself
                seen.add(index)
                yield index
                waiting += reversed(node.get("children", []))

    def joints(self, index: object) -> Array:
        """The maps (J, 4, 4) from a skinned mesh to the scene, by joint; glTF 2.0, 3.7.3."""
        skin = self._document.item("skins", index)
        worlds = np.array([self.world(joint) for joint in skin["joints"]])
        if "inverseBindMatrices" not in skin:
            return worlds
        inverse = numbers(self._document, skin["inverseBindMatrices"], "MAT4").reshape(-1, 4, 4).transpose(0, 2, 1)
        if len(inverse) < len(worlds):
            raise ValueError(f"skin {index} has {len(worlds)} joints and {len(inverse)} matrices for them: {BROKEN}")
        return worlds @ inverse[: len(worlds)]

    def instances(self, index: int) -> list[Array]:
        """The maps (4, 4) from a node's mesh to the scene, one for each time that it is there."""
        extension = self._document.item("nodes", index).get("extensions", {}).get(INSTANCING)
        if extension is None:
            return [self.world(index)]
        given = extension["attributes"]
        tables = {name: numbers(self._document, given[name], kind) for name, kind in POSE.items() if name in given}
        count = min((len(table) for table in tables.values()), default=0)
        if count > MOST:
            raise ValueError(f"node {index} draws its mesh {count} times, over {MOST}: {SIMPLER}")
        rows = ({name.lower(): table[i] for name, table in tables.items()} for i in range(count))
        return [self.world(index) @ local(row) for row in rows]


def local(node: Item) -> Array:
    """The map (4, 4) of a node's own ``matrix``, or of its ``translation``, ``rotation`` and ``scale``."""
    if "matrix" in node:
        return vector(node["matrix"], 16, "the matrix of a node").reshape(4, 4).T
    place, quaternion = np.eye(4), vector(node.get("rotation", [0, 0, 0, 1]), 4, "the rotation of a node")
    place[:3, :3] = turned(quaternion) * vector(node.get("scale", [1, 1, 1]), 3, "the scale of a node")
    place[:3, 3] = vector(node.get("translation", [0, 0, 0]), 3, "the translation of a node")
    return place


def turned(quaternion: Array) -> Array:
    """The rotation (3, 3) of a quaternion x, y, z, w of any length; 0 turns nothing."""
    x, y, z, w = quaternion
    cross, length = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]), x * x + y * y + z * z + w * w
    return np.eye(3) + 2 / (length or 1.0) * (w * cross + cross @ cross)
