"""Instance masks as grey images, and JSON Lines that say what each object is."""

from pathlib import Path

import numpy as np

from air_lightning.commands.formats.pictures import save_labels
from air_lightning.commands.predict.formats.base import Row, Source, picture_name
from air_lightning.commands.predict.formats.jsonl import JSONLines
from air_lightning.commands.predict.records import Prediction, without_segmentations
from datamodules.truth.run_lengths import decoded


class Masks(JSONLines):
    """`masks/`, each of an image's size: i where the i-th of its `objects` is, 0 elsewhere; and `predictions.jsonl`."""

    name = "masks"
    folders = ("masks",)
    segmented = True

    def open(self, folder: Path) -> None:
        super().open(folder)
        self.folder = folder
        (folder / "masks").mkdir()

    def add(self, number: int, source: Source, row: Row, prediction: Prediction) -> None:
        file = f"masks/{picture_name(number, source)}"
        given = [decoded(found.segmentation) for found in prediction.objects if found.segmentation is not None]
        empty = np.zeros((0, prediction.height, prediction.width), np.bool_)
        save_labels(self.folder / file, np.stack(given) if given else empty)
        super().add(number, source, row | {"mask": file}, without_segmentations(prediction))
