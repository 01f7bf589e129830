"""BOP's data sets (Hodan et al. 2018), scene by scene, which its toolkit reads."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from air_lightning.commands.formats.bop_models import write_models
from air_lightning.commands.formats.json_stream import dumps, write_keyed, write_list
from air_lightning.commands.formats.pictures import save_depth, save_mask
from air_lightning.commands.formats.world import UPRIGHT, World, flat, object_numbers
from air_lightning.commands.scenes.formats.base import Format, Row
from air_lightning.commands.scenes.scene import Scene, Thing
from datamodules.truth.masks import box_of

AT_MOST = 1000
"""Images of a BOP scene, so that its files stay small."""
PARTS = ("rgb", "depth", "mask", "mask_visib")


class BOP(Format):
    """`camera.json`, `models/`, and a folder for the split with scenes of at most 1000 images, 000000, 000001, ...

    Millimetres, a world unit being a metre unless the renderer's units say otherwise; frames as
    ``air_lightning.commands.formats.world`` says. Depth is of objects alone. `obj_id` is 1 for the first identity, or
    the number in its name (obj_000005).
    """

    name = "bop"

    def check(self) -> None:
        self.world = World(self.facts.renderer, "bop")
        missing = set(self.world.renderer.where.names) - set(self.facts.coordinates)
        known = not missing and self.facts.identities is not None and self.facts.masks and self.facts.depth
        self.facts.check("bop", "identities, poses, masks and depth", known, "choose png or hdf5")
        self.step, self._numbers = self._depth_step(), object_numbers(self.facts.identities or ())

    def add(self, scene: Scene) -> Row:
        number, image = divmod(scene.number, AT_MOST)
        folder = self.folder / self.facts.split / f"{number:06d}"
        for part in PARTS:
            (folder / part).mkdir(parents=True, exist_ok=True)
        self._save_image(folder / "rgb" / f"{image:06d}", scene)
        assert scene.depth is not None
        save_depth(folder / "depth" / f"{image:06d}.png", scene.depth * np.float32(self.world.unit), self.step)
        silhouettes = self._silhouettes(scene)
        for place, (thing, whole) in enumerate(zip(scene.things, silhouettes)):
            save_mask(folder / "mask" / f"{image:06d}_{place:06d}.png", whole)
            assert thing.mask is not None
            save_mask(folder / "mask_visib" / f"{image:06d}_{place:06d}.png", thing.mask)
        return {
            "scene": number,
            "image": image,
            "gt": [self._pose(thing) for thing in scene.things],
            "info": [_info(thing, whole, scene) for thing, whole in zip(scene.things, silhouettes)],
        }

    def finish(self, rows: Iterable[Row]) -> None:
        names, meshes = self.facts.identities, self.world.renderer.drawn_meshes
        assert names is not None
        write_models(self.folder / "models", names, meshes, self.world.unit)
        split = self.folder / self.facts.split
        for number, scene in groupby(rows, key=lambda row: int(row["scene"])):
            images, folder = list(scene), split / f"{number:06d}"
            write_keyed(folder / "scene_gt.json", ((row["image"], row["gt"]) for row in images))
            write_keyed(folder / "scene_gt_info.json", ((row["image"], row["info"]) for row in images))
            write_keyed(folder / "scene_camera.json", ((row["image"], self._camera()) for row in images))
        (self.folder / "camera.json").write_text(dumps(self._sensor()) + "\n")
        if self.facts.split == "test":
            _write_targets(self.folder / "test_targets_bop19.json", rows)

    def _pose(self, thing: Thing) -> Row:
        rotation, translation = self.world.in_camera(thing.identity, thing.pose)
        return {"cam_R_m2c": flat(rotation), "cam_t_m2c": flat(translation), "obj_id": self._numbers[thing.identity]}

    def _camera(self) -> Row:
        return {
            "cam_K": flat(self.world.intrinsics),
            "cam_R_w2c": flat(self.world.rotation),
            "cam_t_w2c": flat(self.world.translation),
            "depth_scale": self.step,
        }

    def _sensor(self) -> Row:
        k, (_, height, width) = self.world.intrinsics, self.facts.image_shape
        numbers = {"cx": k[0, 2], "cy": k[1, 2], "fx": k[0, 0], "fy": k[1, 1]}
        sensor = {name: float(value) for name, value in numbers.items()}
        return sensor | {"depth_scale": self.step, "height": height, "width": width}

    def _depth_step(self) -> float:
        """Millimetres of one step of the depth images: 0.1, or the least power of ten by which 16 bits reach."""
        where, extents = self.world.renderer.where, self.world.renderer.extents
        radius = max(mesh.radius for mesh in self.world.renderer.drawn_meshes) - min(extents.low)
        sides = np.array([(c.low, c.high) for c in where.coordinates])
        corners = np.array(np.meshgrid(*sides)).reshape(len(sides), -1).T
        points = self.world.renderer.full_pose(torch.from_numpy(corners))[:, :3].numpy() * self.world.unit
        axis, start = self.world.rotation[2] @ UPRIGHT, self.world.translation[2]
        furthest = (points @ axis + start).max() + radius * self.world.unit
        return float(max(0.1, 10 ** np.ceil(np.log10(furthest / 65535))))

    def _silhouettes(self, scene: Scene) -> np.ndarray:
        """What each object covers in the image, drawn alone, (n, H, W)."""
        _, height, width = self.facts.image_shape
        if not scene.things:
            return np.zeros((0, height, width), np.bool_)
        what = torch.tensor([thing.identity for thing in scene.things])
        where = torch.tensor([[thing.pose[name] for name in self.facts.coordinates] for thing in scene.things])
        shown = self.world.renderer.draw(what, where).depth.isfinite()
        factor = shown.shape[1] // height
        shares: np.ndarray = shown.view(-1, height, factor, width, factor).float().mean((2, 4)).numpy()
        visible = np.stack([thing.mask for thing in scene.things if thing.mask is not None])
        return (shares >= 0.5) | visible


def _info(thing: Thing, whole: np.ndarray, scene: Scene) -> Row:
    assert thing.mask is not None and scene.depth is not None
    everything, seen = int(whole.sum()), int(thing.mask.sum())
    return {
        "bbox_obj": _box(whole),
        "bbox_visib": _box(thing.mask),
        "px_count_all": everything,
        "px_count_valid": int((whole & np.isfinite(scene.depth)).sum()),
        "px_count_visib": seen,
        "visib_fract": seen / everything if everything else 0.0,
    }


def _box(mask: np.ndarray) -> list[int]:
    """x, y, width and height, -1 for nothing."""
    x0, y0, x1, y1 = (int(side) for side in box_of(mask))
    return [x0, y0, x1 - x0, y1 - y0] if x1 > x0 else [-1, -1, -1, -1]


def _write_targets(path: Path, rows: Iterable[Row]) -> None:
    """What an evaluation of localisation asks for: how many of which object an image holds, of those one can see."""

    def targets() -> Iterator[Row]:
        for row in rows:
            seen = [gt["obj_id"] for gt, info in zip(row["gt"], row["info"]) if info["px_count_visib"]]
            for identity in sorted(set(seen)):
                place = {"im_id": row["image"], "inst_count": seen.count(identity)}
                yield place | {"obj_id": identity, "scene_id": row["scene"]}

    write_list(path, targets())
