"""CLEVR's JSON of scenes (Johnson et al. 2017), with masks as CLEVR's successors have them."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from air_lightning.commands.formats.json_stream import write_json
from air_lightning.commands.formats.world import UPRIGHT, World
from air_lightning.commands.scenes.formats.base import Format, Row
from air_lightning.commands.scenes.formats.png import save_details
from air_lightning.commands.scenes.scene import Scene, Thing
from datamodules.truth.clevr import PALETTE
from renderers.mesh.shapes import Mesh

SIZES = {"large": 0.7, "small": 0.35}
"""Of CLEVR, half an object's width."""
MARGIN = 0.2
"""How far an object must lie beyond another to be on that side of it, as CLEVR has it."""


STRAIGHT = 1e-3
"""A camera whose axis is as near the upright one looks straight down: what is behind lies above in the image."""


class CLEVR(Format):
    """`images/CLEVR_<split>_000000.png`, `scenes/CLEVR_<split>_scenes.json`, `masks/`, `depth/`.

    z is up, x right, y away from the viewer. Of CLEVR's colours and sizes an object has the nearest, its material is
    rubber.
    """

    name = "clevr"

    def check(self) -> None:
        self.world = World(self.facts.renderer, "clevr")
        known = self.facts.identities is not None and set(self.world.renderer.where.names) <= set(
            self.facts.coordinates
        )
        self.facts.check("clevr", "identities and poses in three dimensions", known, "choose png, coco or hdf5")
        self._looks = [_look(mesh) for mesh in self.world.renderer.drawn_meshes]
        self._directions = self._sides()

    def add(self, scene: Scene) -> Row:
        stem = f"CLEVR_{self.facts.split}_{scene.number:06d}"
        file = self._save_image(self.folder / "images" / stem, scene)
        save_details(self, stem, scene)
        mask = {"mask_filename": f"../masks/{stem}.mask.png"} if self.facts.masks else {}
        objects = [self._object(thing) for thing in scene.things]
        head: Row = {"split": self.facts.split, "image_index": scene.number, "image_filename": file}
        return head | mask | {
            "objects": objects,
            "directions": self._directions,
            "relationships": _relationships([thing["3d_coords"] for thing in objects], self._directions),
        }  # fmt: skip

    def finish(self, rows: Iterable[Row]) -> None:
        (self.folder / "scenes").mkdir(exist_ok=True)
        head = {"split": self.facts.split, "version": "1.0", "license": "none stated"}
        path = self.folder / "scenes" / f"CLEVR_{self.facts.split}_scenes.json"
        write_json(path, {"info": head, "scenes": iter(rows)})

    def _object(self, thing: Thing) -> Row:
        x, y, z, yaw = self.world.full_pose(thing.pose)
        look = self._looks[thing.identity]
        extents = self.world.renderer.extents
        middle = y + (extents.low[thing.identity] + extents.high[thing.identity]) / 2
        return {"shape": thing.name} | look | {
            "3d_coords": [x, -z, middle],
            "rotation": math.degrees(yaw),
            "pixel_coords": self._pixel(x, middle, z),
        }  # fmt: skip

    def _pixel(self, x: float, y: float, z: float) -> list[float]:
        """Column and row in pixels, and depth, of a point of the renderer's world."""
        _, height, width = self.facts.image_shape
        point = torch.tensor([x, y, z], dtype=torch.float64)
        (across, down), depth = self.world.renderer.camera.project(point, width / height)
        return [float((across + 1) * width / 2), float((down + 1) * height / 2), float(depth)]

    def _sides(self) -> dict[str, list[float]]:
        """Unit vectors of the world in which an object lies right of another as the camera sees them, and so on."""
        right, up, forward = self.world.renderer.camera.rotation() @ UPRIGHT.T
        ahead = up if np.hypot(forward[0], forward[1]) < STRAIGHT else forward
        forward = np.array([ahead[0], ahead[1], 0])
        forward /= np.linalg.norm(forward)
        vectors = {"right": right, "behind": forward, "above": np.array([0.0, 0.0, 1.0])}
        vectors |= {"left": -right, "front": -forward, "below": -vectors["above"]}
        return {name: [float(side) + 0.0 for side in vector] for name, vector in vectors.items()}


def _relationships(places: Sequence[list[float]], directions: dict[str, list[float]]) -> dict[str, list[list[int]]]:
    """For each object the numbers of those that lie on a side of it."""
    points: NDArray[np.float64] = np.array(places, np.float64).reshape(-1, 3)
    gaps = points[None] - points[:, None]
    sides = {name: vector for name, vector in directions.items() if name not in ("above", "below")}
    return {name: [np.flatnonzero(row > MARGIN).tolist() for row in gaps @ np.array(v)] for name, v in sides.items()}


def _look(mesh: Mesh) -> Row:
    """The nearest of CLEVR's colours and sizes."""
    paint = mesh.drawn.reshape(-1, 3).mean(0)
    color = min(PALETTE, key=lambda name: float(np.linalg.norm(paint - np.array(PALETTE[name]))))
    half = np.ptp(mesh.vertices[:, [0, 2]], axis=0).max() / 2
    return {"size": min(SIZES, key=lambda name: abs(SIZES[name] - half)), "color": color, "material": "rubber"}
