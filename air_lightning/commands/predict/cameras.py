"""Images by other cameras than the model's, as BOP's folders tell them: seen as by the model's, or refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from air_lightning.commands.formats.coco import rle
from air_lightning.commands.predict.records import FoundObject, Prediction, rounded
from datamodules.image_files.view import View
from datamodules.truth.bop import intrinsics_of
from datamodules.truth.camera_frame import lens_mismatch
from datamodules.truth.run_lengths import decoded
from renderers.base import Renderer
from renderers.mesh import MeshRenderer
from renderers.mesh.pinhole import Lens


class Cameras:
    """The cameras of images, against the model's.

    Args:
        renderer: the model's. reframes: whether images are seen as by the model's camera; else they must be by it,
            where their own is told.
    Errors:
        ValueError for a renderer that has no camera.
    """

    def __init__(self, renderer: Renderer, reframes: bool) -> None:
        if reframes and not isinstance(renderer, MeshRenderer):
            raise ValueError(
                f"--reframe needs a model with a camera, and {type(renderer).__name__} has none: MeshRenderer has"
            )
        self.renderer, self.reframes = renderer, reframes

    def view_of(self, path: Path, size: tuple[int, int]) -> View | None:
        """What the model's camera sees of an image of ``size`` (width, height).

        Errors:
            ValueError where its own camera is not told.
        """
        if not self.reframes:
            return None
        own = intrinsics_of(path, size)
        if own is None:
            raise ValueError(
                "nobody tells the camera that it was taken by, cam_K of a scene_camera.json beside rgb/ or gray/: add "
                "it, or leave --reframe out"
            )
        return View.between(own.lens(), self._lens(), size)

    def check(self, path: Path, size: tuple[int, int]) -> None:
        """ValueError where an image's own camera is told, and it is another than the model's."""
        own = None if self.reframes or not isinstance(self.renderer, MeshRenderer) else intrinsics_of(path, size)
        _, height, width = self.renderer.image_shape
        if own is not None and (other := lens_mismatch(self._lens(), own.lens(), height, width)):
            raise ValueError(
                f"{path} is by {other}, and poses in the camera's frame would be wrong: see it as the model's camera "
                "would by --reframe"
            )

    def _lens(self) -> Lens:
        _, height, width = self.renderer.image_shape
        assert isinstance(self.renderer, MeshRenderer)
        return self.renderer.camera.lens(width / height)


def in_original_image(prediction: Prediction, view: View) -> Prediction:
    """What was seen in a part of an image, in the pixels of the image."""
    steps = view.width / prediction.width, view.height / prediction.height
    objects, *slots = (
        tuple(_moved(found, view, steps) for found in part)
        for part in (prediction.objects, *([] if prediction.slots is None else [prediction.slots]))
    )
    width, height = view.size
    return replace(prediction, width=width, height=height, objects=objects, slots=slots[0] if slots else None)


def _moved(found: FoundObject, view: View, steps: tuple[float, float]) -> FoundObject:
    def moved(x: float, y: float) -> tuple[float, float]:
        return rounded(view.left + x * steps[0]), rounded(view.top + y * steps[1])

    window = tuple(moved(x, y) for x, y in found.window)
    box = None
    if found.box is not None:
        low, high = moved(*found.box[:2]), moved(*found.box[2:])
        sides = np.clip([*low, *high], 0, [*view.size, *view.size]).tolist()
        box = (sides[0], sides[1], sides[2], sides[3]) if sides[0] < sides[2] and sides[1] < sides[3] else None
    mask = None if found.segmentation is None else rle(view.back(decoded(found.segmentation)))
    return replace(found, window=window, box=box, segmentation=mask)
