"""A truth's scenes for the images of one folder."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from datamodules.image_files.store import ViewOf, whole
from datamodules.truth.arrays import POSITION, MaskRows, TruthArrays, own_coordinates, scaled, without_renderer
from datamodules.truth.camera_frame import COORDINATES, check_cameras, poses
from datamodules.truth.matching import Place, in_order
from datamodules.truth.plausible import check_inside, check_poses, image_scale
from datamodules.truth.record import TrueObject, Truth
from renderers.base import Renderer
from renderers.mesh.pinhole import Intrinsics, Lens
from renderers.spaces import Categorical

PLACED = ("x", "z", "yaw")
"""Coordinates of the renderer, y upwards, that a place in a file's world tells: x, -y and the turn."""
RGB, METAL = ("red", "green", "blue"), "metal"
"""Those that an object's colour and material tell, where their names are among the truth's."""


class FolderTruth:
    """A truth file's scenes, one for each image of a folder, in their order.

    Args:
        truth: the file's. folder: of the images. places: of each its file and its number there.
        sizes: (N, 2), width and height of each as its file has it.
        identity: the attribute that is an object's identity; `kind`: the format's own; None: identities do not count.
        unit: the length of the file's unit in the renderer's, which makes places in the file's world poses; `metric`:
            places in the camera's frame are made poses, by the renderer's camera and units; None: those are left alone.
        view_of: what models see of an image, by its file and its width and height.
        left_out: image files in the folder of which no place is: what the truth tells of them is not used.
    Errors:
        ValueError for scenes of images that are not there, images of which there is no scene, masks that are not there,
        sizes and boxes that are not the images', and objects of which some are told more than others.
    """

    def __init__(
        self,
        truth: Truth,
        folder: Path,
        places: Sequence[Place],
        sizes: NDArray[Any],
        identity: str | None = "kind",
        unit: float | Literal["metric"] | None = None,
        view_of: ViewOf = whole,
        left_out: Sequence[Path] = (),
    ) -> None:
        self.name, self.places, self.sizes = f"truth={str(truth.path)!r}", places, sizes
        self.periods, self.palette, self._materials = truth.periods, truth.palette, truth.materials
        self.scenes = in_order(self.name, truth.scenes, folder, places, left_out)
        self.views = [view_of(path, (int(w), int(h))) for (path, _), (w, h) in zip(places, sizes)]
        self.most = max(scene.count for scene in self.scenes)
        complete = [len(scene.objects) == scene.count for scene in self.scenes]
        self.objects = [thing for scene in self.scenes for thing in scene.objects] if all(complete) else []
        self._identities = self._named(identity)
        self.has_identities = self._all_or_none("identity", [name is not None for name in self._identities])
        self.has_masks = self._masks_are_there()
        told_boxes = self._all_or_none("box", [thing.box is not None for thing in self.objects])
        self._boxes_are_told, self.has_boxes = told_boxes, told_boxes or self.has_masks
        self._boxes = self._in_pixels()
        self._is_metric, self._unit = unit == "metric", unit
        self._poses = [self._pose(thing, unit) for thing in self.objects]
        self.coordinates = tuple(self._poses[0]) if self._poses else ()
        for pose in self._poses:
            if set(pose) != set(self.coordinates):
                raise ValueError(
                    f"{self.name} gives poses by {', '.join(self.coordinates) or 'nothing'} and by "
                    f"{', '.join(pose) or 'nothing'}: give all objects the same coordinates"
                )

    def known_coordinates(self, renderer: Renderer | None) -> tuple[str, ...]:
        """The coordinates told, by the renderer's own order.

        Raises:
            ValueError: an identity or a coordinate is not the renderer's, a position is told in part, a pose is
                plainly in another unit, or poses are told and there is no renderer.
        """
        if renderer is None:
            return without_renderer(self.name, bool(self.coordinates) or self._is_metric)
        name = type(renderer).__name__
        if isinstance(renderer.what, Categorical) and self.has_identities:
            unknown = sorted(set(map(str, self._identities)) - set(renderer.what.names))
            if unknown:
                raise ValueError(
                    f"{self.name} has objects of the identity {unknown[0]!r}, {name} draws "
                    f"{', '.join(renderer.what.names)}: rename them in the file, choose a renderer that draws them, or "
                    "leave identities out of account (`data.identity: null`)"
                )
        if self._is_metric:
            return self._metric(renderer)
        own = own_coordinates(self.name, self.coordinates, renderer)
        check_poses(self.name, self.objects, self._poses, renderer, self._remedy)
        untold = [name for name in self.coordinates if name in POSITION and self._lacks(name)]
        if untold:
            raise ValueError(f"{self.name} has an object without {untold[0]}: only rotations may be null")
        return own + self._looks(renderer.where.names)

    def _looks(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the coordinates of looks that are told, where poses are, and that a renderer has."""
        told = (*(RGB if self.palette else ()), *((METAL,) if self._materials else ()))
        return tuple(name for name in told if name in names) if self.coordinates else ()

    def _look(self, attributes: Mapping[str, str]) -> dict[str, float]:
        """The coordinates that an object's attributes tell."""
        look = dict(zip(RGB, self.palette.get(attributes.get("color", ""), ())))
        metal = self._materials.get(attributes.get("material", ""))
        return look if metal is None else {**look, METAL: metal}

    def arrays(self, renderer: Renderer | None, shape: tuple[int, int]) -> TruthArrays:
        n, most = len(self.scenes), max(1, self.most)
        order = self.coordinates if renderer is None else self.known_coordinates(renderer)
        given = self._poses
        if self._is_metric and renderer is not None:
            given = poses(self.name, self.objects, self._identities, renderer)
            check_poses(self.name, self.objects, given, renderer, self._remedy)
        numbers = {name: number for number, name in enumerate(self.names(renderer))}
        count = np.array([scene.count for scene in self.scenes], np.int64)
        what = np.full((n, most), 0 if self.has_identities else -1, np.int64)
        where = np.zeros((n, most, len(order)), np.float32)
        boxes = np.zeros((n, most, 4), np.float32) if self._boxes_are_told else None
        for number, (row, slot) in enumerate(self._each()):
            if self.has_identities:
                what[row, slot] = numbers[str(self._identities[number])]
            pose = {**given[number], **self._look(self.objects[number].attributes)}
            where[row, slot] = [np.nan if pose[name] is None else pose[name] for name in order]
            if boxes is not None:
                boxes[row, slot] = self._box(row, self._boxes[number], shape)
        masks = MaskRows(self.mask, np.arange(n), shape, most) if self.has_masks else None
        return TruthArrays(count, what, where, boxes, masks)

    def _metric(self, renderer: Renderer) -> tuple[str, ...]:
        """The coordinates that places in the camera's frame tell."""
        images = [str(path) for path, _ in self.places]
        check_cameras(self.name, self._lenses, images, renderer)
        return tuple(name for name in renderer.where.names if name in COORDINATES) if self.objects else ()

    @cached_property
    def _lenses(self) -> list[Lens | None]:
        """Of what models see of the images."""
        lenses: list[Lens | None] = []
        for scene, view, (w, h) in zip(self.scenes, self.views, self.sizes.tolist()):
            own = None if scene.camera is None else Intrinsics.of(scene.camera, (h, w)).lens()
            lenses.append(own if own is None or view is None else view.lens(own))
        return lenses

    def names(self, renderer: Renderer | None) -> tuple[str, ...]:
        """Of the identities, in the order by which ``what`` counts them."""
        if renderer is not None and isinstance(renderer.what, Categorical):
            return renderer.what.names
        return tuple(sorted(set(map(str, self._identities))))

    def mask(self, row: int) -> NDArray[np.bool_]:
        """The masks of an image's objects, (objects, H, W) in its file's pixels.

        Raises:
            ValueError: they cannot be read, or are of another size than the image.
        """
        masks, (width, height) = self.scenes[row].masks, self.sizes[row]
        if masks is None:
            return np.zeros((0, int(height), int(width)), np.bool_)
        try:
            found = masks.read(self.places[row][0])
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error
        if found.shape[1:] != (height, width):
            raise ValueError(
                f"{self.name} has masks of {found.shape[1]}x{found.shape[2]} of {self.places[row][0]}, which has "
                f"{height}x{width} (height x width)"
            )
        view = self.views[row]
        return found if view is None else view.of_masks(found)

    def _box(self, row: int, box: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
        """A box in pixels of the file in those of what models see; zeros where nothing of it shows."""
        view = self.views[row]
        if view is None or view.is_whole:
            return scaled(box, self.sizes[row], shape)
        moved = scaled(box - np.array([view.left, view.top] * 2, np.float32), (view.width, view.height), shape)
        beyond = (moved[:2] >= shape[::-1]) | ((moved[:2] < 0) & (moved[2:] <= 0))
        if beyond.any() or not box.any():
            return np.zeros_like(box)
        return moved.clip(0, np.array(shape[::-1] * 2, np.float32))

    def _in_pixels(self) -> NDArray[np.float32]:
        """The boxes of ``objects`` in the pixels of their files, (objects, 4); of none where none are told."""
        sizes = [(int(width), int(height)) for width, height in self.sizes]
        images = zip(self.scenes, self.places, sizes)
        factors = [image_scale(self.name, scene, path, size) for scene, (path, _), size in images]
        boxes = np.zeros((len(self.objects) if self._boxes_are_told else 0, 4), np.float32)
        for number, (row, _) in enumerate(self._each() if self._boxes_are_told else ()):
            thing = self.objects[number]
            check_inside(self.name, thing, self.scenes[row].size or sizes[row])
            boxes[number] = np.array(thing.box) * np.tile(factors[row], 2)
        return boxes

    @property
    def _remedy(self) -> str:
        """What to do where poses are in another unit than the renderer's."""
        if self._unit is None:
            return "give poses in the renderer's units"
        if self._is_metric:
            return "correct the file's lengths, which are to be millimetres, or the renderer's `units`"
        return (
            f"`data.unit` is {self._unit}, give the length of the file's unit in the renderer's (0.001 of millimetres "
            "in metres)"
        )

    def _each(self) -> Iterator[tuple[int, int]]:
        """Row and slot of each of ``objects``."""
        if self.objects:
            yield from ((row, slot) for row, scene in enumerate(self.scenes) for slot in range(scene.count))

    def _named(self, identity: str | None) -> list[str | None]:
        if identity is None:
            return [None] * len(self.objects)
        if identity == "kind":
            return [thing.identity for thing in self.objects]
        for thing in self.objects:
            if identity not in thing.attributes:
                raise ValueError(
                    f"{self.name} has an object without the attribute {identity!r}, it has "
                    f"{', '.join(thing.attributes) or 'none'}: give `data.identity` one that all have, or kind"
                )
        return [thing.attributes[identity] for thing in self.objects]

    def _pose(self, thing: TrueObject, unit: float | str | None) -> Mapping[str, float | None]:
        if unit is None:
            return thing.pose
        if unit == "metric":
            if thing.seen is None:
                raise ValueError(
                    f"{self.name} does not tell where objects are in the camera's frame in a unit that is known, as "
                    "BOP's folders do, and `data.unit` is metric: give it a number, or leave it out"
                )
            return {}
        if thing.placed is None:
            raise ValueError(
                f"{self.name} does not tell where all objects are in a world of its own, and `data.unit` is {unit}: "
                "leave that out (in BOP's folders scene_camera.json tells it by cam_R_w2c and cam_t_w2c)"
            )
        x, y, _ = thing.placed.position
        length = float(unit)
        return dict(zip(PLACED, (x * length, -y * length, thing.placed.turn)))

    def _masks_are_there(self) -> bool:
        """Whether all scenes that hold something have masks; ValueError where some files are there and others not."""
        given = [(scene.masks, place) for scene, place in zip(self.scenes, self.places) if scene.count]
        if not given or not self._all_or_none("masks", [masks is not None for masks, _ in given]):
            return False
        files = [(masks, file) for masks, (path, _) in given if masks is not None for file in masks.files(path)]
        missing = [(masks, file) for masks, file in files if not file.is_file()]
        some = len(missing) < len(files)
        if wanted := [file for masks, file in missing if some or not masks.optional]:
            raise ValueError(
                f"{self.name}: {len(wanted)} of {len(files)} files with masks are not there ({wanted[0]} first): "
                "add them, or take all away"
            )
        return not missing

    def _lacks(self, name: str) -> bool:
        return any(pose[name] is None for pose in self._poses)

    def _all_or_none(self, what: str, known: list[bool]) -> bool:
        if any(known) and not all(known):
            raise ValueError(
                f"{self.name} tells the {what} of some objects and not of others: tell it of all, or of none"
            )
        return bool(known) and all(known)
