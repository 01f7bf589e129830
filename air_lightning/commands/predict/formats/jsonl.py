"""JSON Lines: a line for each image, all that a prediction holds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from air_lightning.commands.predict.formats.base import Format, Row, Source, listed
from air_lightning.commands.predict.records import Prediction


class JSONLines(Format):
    """`predictions.jsonl`."""

    name = "jsonl"
    file = "predictions.jsonl"
    _lines: IO[str]

    @staticmethod
    def pictures(folder: Path) -> Iterator[str]:
        with (folder / JSONLines.file).open() as lines:
            yield from listed(map(json.loads, lines))

    def open(self, folder: Path) -> None:
        self._lines = (folder / self.file).open("w")

    def add(self, number: int, source: Source, row: Row, prediction: Prediction) -> None:
        self._lines.write(json.dumps(row | prediction.record(), allow_nan=False) + "\n")

    def close(self) -> None:
        self._lines.close()
