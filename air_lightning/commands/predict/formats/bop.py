"""BOP's results (Hodan et al. 2018): a line for each object, with its pose in the camera's frame."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from air_lightning.commands.formats.world import World, flat, object_numbers
from air_lightning.commands.predict.formats.base import OVERLAYS, Format, Row, Source
from air_lightning.commands.predict.records import Prediction
from renderers.base import Renderer

HEAD = "scene_id,im_id,obj_id,score,R,t,time"
UNKNOWN = -1
"""The seconds that an image took, where that is not said."""


class BOP(Format):
    """`predictions.csv`; t is in millimetres, a world unit being a metre unless the renderer's units say otherwise.

    Images of BOP's folders, `000001/rgb/000005.png`, have their own numbers; others are numbered in their order, in
    scene 0. A model's turn that cannot be seen is written as none.
    """

    name = "bop"
    file = "predictions.csv"
    _lines: IO[str]

    def __init__(self, renderer: Renderer, files: Sequence[Path]) -> None:
        super().__init__(renderer, files)
        self.world = World(renderer, "bop")
        self._objects = dict(zip(self.identities or (), object_numbers(self.identities or ())))
        self._is_bop = all(place_of(file) is not None for file in files)
        if not self._is_bop:
            self.notes.append(
                "predictions.csv numbers the images in their order, from 0 on, in scene 0, for not all of them lie in "
                "BOP's folders (000001/rgb/000005.png)"
            )

    @staticmethod
    def pictures(folder: Path) -> Iterator[str]:
        names = (path.name for path in (folder / OVERLAYS).glob("*"))  # its file does not list them
        return (f"{OVERLAYS}/{name}" for name in names if re.fullmatch(r"\d{6,}_.*\.png", name))

    def open(self, folder: Path) -> None:
        self._lines = (folder / self.file).open("w")
        self._lines.write(HEAD + "\n")

    def add(self, number: int, source: Source, row: Row, prediction: Prediction) -> None:
        place = place_of(source.file) if self._is_bop else None
        scene, image = (0, number) if place is None else place
        for found in prediction.slots or prediction.objects:
            identity = self.world.renderer.identities.index(str(found.kind))
            rotation, translation = self.world.in_camera(identity, found.pose)
            pose = (" ".join(f"{value:.9g}" for value in flat(part)) for part in (rotation, translation))
            told = (scene, image, self._objects[str(found.kind)], found.confidence, *pose, UNKNOWN)
            self._lines.write(",".join(str(part) for part in told) + "\n")

    def close(self) -> None:
        self._lines.close()


def place_of(file: Path) -> tuple[int, int] | None:
    """The numbers of scene and image of a file in BOP's folders; None of others."""
    parts = file.absolute().parts
    if len(parts) < 3 or parts[-2] not in ("rgb", "gray") or not (parts[-3].isdigit() and file.stem.isdigit()):
        return None
    return int(parts[-3]), int(file.stem)
