"""The folder that predictions are written to: whole, or not at all."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from air_lightning.commands.predict.images import GivenImage
from air_lightning.commands.predict.overlay import draw_overlay
from air_lightning.commands.predict.records import Prediction

FILES = {"jsonl": "predictions.jsonl", "coco": "predictions.json"}
OVERLAYS = "overlays"
LONGEST = 60
"""Characters of a file's name that its overlay's has too: file systems allow 255 bytes, four a character."""
DESCRIPTION = "Objects that AIR-Lightning has found; scores are posterior probabilities that they are there."
Row = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """Where an image comes from.

    Attributes:
        file: its file. index: its number there. of: how many images the file holds.
    """

    file: Path
    index: int
    of: int

    @property
    def name(self) -> str:
        """A name that no other image has: the file's, with `#NUMBER` where it holds several."""
        return self.file.as_posix() + (f"#{self.index}" if self.of > 1 else "")


def check_output(folder: Path, overwrite: bool) -> None:
    """ValueError unless predictions may be written to ``folder``: it is new, empty, or to be overwritten.

    Only predictions are overwritten: a folder that holds none, or other things beside them, stays as it is.
    """
    if folder.suffix.lower() in (".json", ".jsonl", ".png"):
        raise ValueError(
            f"--output {str(folder)!r} looks like a file: name a folder, into which {FILES['jsonl']} is written"
        )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output {str(folder)!r} is a file: name a folder")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set[str]()
    others = names - {*FILES.values(), OVERLAYS}
    if others:
        raise ValueError(f"--output {str(folder)!r} holds other things ({min(others)}): name another folder")
    if names and not overwrite:
        raise ValueError(f"--output {str(folder)!r} already holds predictions: add --overwrite, or name another folder")


class Writer:
    """Writes predictions into a folder, one after another.

    Args:
        folder: an empty one. form: ``jsonl`` or ``coco``. overlay: whether images with boxes are drawn too.
        identities: their names; None where there are none.
    """

    def __init__(self, folder: Path, form: str, overlay: bool, identities: Sequence[str] | None) -> None:
        self.folder, self.overlay = folder, overlay
        self._numbers: dict[str | None, int] = {name: number for number, name in enumerate(identities or [], 1)}
        self.written = self.objects = self.boxless = 0
        self._images, self._annotations, self._categories = list[Row](), list[Row](), _categories(identities)
        self._lines = (folder / FILES["jsonl"]).open("w") if form == "jsonl" else None
        if overlay:
            (folder / OVERLAYS).mkdir()

    def add(self, source: Source, image: GivenImage, prediction: Prediction) -> None:
        """Write what was seen in an image."""
        self.objects += len(prediction.objects)
        self.boxless += sum(found.box is None for found in prediction.objects)
        row: Row = {"file": source.file.as_posix(), "index": source.index}
        if self.overlay:
            row["overlay"] = f"{OVERLAYS}/{self.written:06d}_{source.file.stem[:LONGEST]}.png"
            draw_overlay(image.original, prediction).save(self.folder / row["overlay"])
        if self._lines is not None:
            self._lines.write(json.dumps(row | prediction.record(), allow_nan=False) + "\n")
        else:
            self._add_coco(source.name, row, prediction)
        self.written += 1

    def close(self) -> None:
        """Write what is written at the end."""
        if self._lines is not None:
            self._lines.close()
        else:
            coco = {
                "info": {"description": DESCRIPTION},  # without it some versions of pycocotools have no loadRes
                "images": self._images,
                "annotations": self._annotations,
                "categories": self._categories,
            }
            (self.folder / FILES["coco"]).write_text(json.dumps(coco, allow_nan=False) + "\n")

    def _add_coco(self, name: str, row: Row, prediction: Prediction) -> None:
        image = {"id": self.written, "file_name": name} | {key: value for key, value in row.items() if key != "file"}
        self._images.append(image | {"width": prediction.width, "height": prediction.height})
        for found in prediction.slots or prediction.objects:
            if found.box is None:
                continue
            x0, y0, x1, y1 = found.box
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": self.written,
                    "category_id": self._numbers.get(found.kind, 1),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                    "score": found.confidence,
                }
            )


def _categories(identities: Sequence[str] | None) -> list[Row]:
    return [{"id": number, "name": name} for number, name in enumerate(identities or ["object"], 1)]


@contextmanager
def output(folder: Path, form: str, overlay: bool, identities: Sequence[str] | None) -> Iterator[Writer]:
    """A writer whose files come to lie in ``folder`` when all are written; none does if it is left by an error.

    Earlier predictions there are replaced: ``check_output`` has seen that it holds nothing else.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = folder if folder.is_dir() else folder.parent  # a folder may be ours to write to where its parent is not
    draft = Path(mkdtemp(prefix=f".{folder.name}.", dir=place))
    try:
        writer = Writer(draft, form, overlay, identities)
        try:
            yield writer
        finally:
            writer.close()
        folder.mkdir(exist_ok=True)
        for name in (*FILES.values(), OVERLAYS):
            _remove(folder / name)
            if (draft / name).exists():
                (draft / name).rename(folder / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    with suppress(FileNotFoundError):
        path.unlink()
