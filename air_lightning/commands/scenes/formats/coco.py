"""COCO's JSON: boxes, and masks as run lengths."""

from collections.abc import Iterable, Iterator
from itertools import count

from air_lightning.commands.formats import coco
from air_lightning.commands.formats.json_stream import write_json
from air_lightning.commands.scenes.formats.base import Format, Row
from air_lightning.commands.scenes.formats.png import save_distances
from air_lightning.commands.scenes.scene import Scene, Thing
from datamodules.truth.masks import box_of


class COCO(Format):
    """`images/`, `annotations.json`; `depth/` where it is known. `pose` of an annotation is an entry of our own.

    Boxes are of whole objects, hidden parts too, as the data module gives them; segmentations of what one sees.
    """

    name = "coco"

    def check(self) -> None:
        self.facts.check(
            "coco", "boxes or masks", self.facts.boxes or self.facts.masks, "--format png or hdf5 take poses alone"
        )

    def add(self, scene: Scene) -> Row:
        stem = f"{scene.number:06d}"
        _, height, width = self.facts.image_shape
        file = self._save_image(self.folder / "images" / stem, scene)
        save_distances(self, stem, scene)
        image = {"id": scene.number, "file_name": file, "width": width, "height": height}
        return {"image": image, "annotations": [self._annotation(scene.number, thing) for thing in scene.things]}

    def finish(self, rows: Iterable[Row]) -> None:
        write_json(
            self.folder / "annotations.json",
            {
                "info": coco.info(f"{self.facts.count} scenes of {self.facts.data}, {self.facts.split} split"),
                "licenses": [],
                "categories": coco.categories(self.facts.identities),
                "images": (row["image"] for row in rows),
                "annotations": _numbered(rows),
            },
        )

    def _annotation(self, image: int, thing: Thing) -> Row:
        segmentation = None if thing.mask is None else coco.rle(thing.mask)
        box = thing.box
        if box is None:
            assert thing.mask is not None
            box = box_of(thing.mask)
        category = 1 if self.facts.identities is None else thing.identity + 1
        return coco.annotation(image, category, box, segmentation) | ({"pose": thing.pose} if thing.pose else {})


def _numbered(rows: Iterable[Row]) -> Iterator[Row]:
    """All annotations with ids from 1 on: pycocotools takes 0 for none."""
    numbers = count(1)
    for row in rows:
        yield from ({"id": next(numbers)} | mark for mark in row["annotations"])
