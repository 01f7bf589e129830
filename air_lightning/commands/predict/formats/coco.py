"""COCO's JSON: boxes with scores, and masks as run lengths."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from air_lightning.commands.formats import coco
from air_lightning.commands.predict.formats.base import Format, Row, Source, listed
from air_lightning.commands.predict.records import FoundObject, Prediction
from renderers.base import Renderer

DESCRIPTION = "Objects that AIR-Lightning has found; scores are posterior probabilities that they are there."


class COCO(Format):
    """`predictions.json`. `pose` and `pose_sd` of an annotation are entries of our own."""

    name = "coco"
    file = "predictions.json"
    segmented = True

    def __init__(self, renderer: Renderer, files: Sequence[Path]) -> None:
        super().__init__(renderer, files)
        self._categories = coco.categories(self.identities)
        self._numbers = {category["name"]: category["id"] for category in self._categories}
        self._images, self._annotations = list[Row](), list[Row]()

    @staticmethod
    def pictures(folder: Path) -> Iterator[str]:
        return listed(json.loads((folder / COCO.file).read_text())["images"])

    def open(self, folder: Path) -> None:
        self._path = folder / self.file

    def add(self, number: int, source: Source, row: Row, prediction: Prediction) -> None:
        rest = {key: value for key, value in row.items() if key != "file"}
        size = {"width": prediction.width, "height": prediction.height}
        self._images.append({"id": number, "file_name": source.name} | rest | size)
        for found in prediction.slots or prediction.objects:
            if found.box is not None:
                self._annotations.append({"id": len(self._annotations) + 1} | self._annotation(number, found))

    def close(self) -> None:
        content = {
            "info": coco.info(DESCRIPTION),
            "images": self._images,
            "annotations": self._annotations,
            "categories": self._categories,
        }
        self._path.write_text(json.dumps(content, allow_nan=False) + "\n")

    def _annotation(self, image: int, found: FoundObject) -> Row:
        assert found.box is not None
        category = 1 if found.kind is None else self._numbers[found.kind]
        marked = coco.annotation(image, category, found.box, found.segmentation) | {"score": found.confidence}
        return marked | {"pose": found.pose, "pose_sd": found.pose_sd}
