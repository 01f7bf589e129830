"""The folder that predictions are written to: whole, or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from air_lightning.commands.predict.formats import FORMATS, OVERLAYS, Format, Source, picture_name
from air_lightning.commands.predict.formats.base import Row
from air_lightning.commands.predict.images import GivenImage
from air_lightning.commands.predict.overlay import draw_overlay
from air_lightning.commands.predict.records import Prediction
from air_lightning.runs.writing import naming, remove

FILES = {form.file: form for form in FORMATS.values()}
FOLDERS = (OVERLAYS, *(name for form in FORMATS.values() for name in form.folders))
OURS = (*FILES, *FOLDERS)
"""All that predictions may be called."""


def check_output(folder: Path, overwrite: bool) -> None:
    """ValueError unless predictions may be written to ``folder``: it is new, empty, or to be overwritten.

    Only predictions are overwritten: a folder that holds none, or other things beside them, stays as it is.
    """
    if folder.suffix.lower() in (".json", ".jsonl", ".csv", ".png"):
        raise ValueError(
            f"--output {str(folder)!r} looks like a file: name a folder, into which {FORMATS['jsonl'].file} is written"
        )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output {str(folder)!r} is a file: name a folder")
    if not folder.is_dir():
        return
    if other := next(_others(folder), None):
        raise ValueError(f"--output {str(folder)!r} holds other things ({other}): name another folder")
    if any(folder.iterdir()) and not overwrite:
        raise ValueError(f"--output {str(folder)!r} already holds predictions: add --overwrite, or name another folder")


def _others(folder: Path) -> Iterator[str]:
    """What lies there besides predictions, by its path in the folder."""
    ours = set(_pictures(folder))
    for path in sorted(folder.iterdir()):
        if path.name in FOLDERS and path.is_dir():
            inside = sorted(place for place in path.rglob("*") if place.is_symlink() or not place.is_dir())
            names = (place.relative_to(folder).as_posix() for place in inside)
            yield from (name for name in names if name not in ours)
        elif path.name not in FILES or not path.is_file():
            yield path.name


def _pictures(folder: Path) -> Iterator[str]:
    """The pictures of the predictions there."""
    for name, form in FILES.items():
        if (folder / name).is_file():
            with suppress(Exception):  # what is not as we wrote it tells of no more pictures
                yield from form.pictures(folder)


class Writer:
    """Writes predictions into a folder, one after another.

    Args:
        folder: an empty one. form: how. overlay: whether images with boxes are drawn too.
    """

    def __init__(self, folder: Path, form: Format, overlay: bool) -> None:
        self.folder, self.form, self.overlay = folder, form, overlay
        self.written = self.objects = self.boxless = 0
        form.open(folder)
        if overlay:
            (folder / OVERLAYS).mkdir()

    def add(self, source: Source, image: GivenImage, prediction: Prediction) -> None:
        """Write what was seen in an image."""
        self.objects += len(prediction.objects)
        self.boxless += sum(found.box is None for found in prediction.objects)
        row: Row = {"file": source.file.as_posix(), "index": source.index}
        if self.overlay:
            row["overlay"] = f"{OVERLAYS}/{picture_name(self.written, source)}"
            draw_overlay(image.original, prediction).save(self.folder / row["overlay"])
        self.form.add(self.written, source, row, prediction)
        self.written += 1

    def close(self) -> None:
        """Write what is written at the end."""
        self.form.close()


@contextmanager
def output(folder: Path, form: Format, overlay: bool) -> Iterator[Writer]:
    """A writer whose files come to lie in ``folder`` when all are written; none does if it is left by an error.

    Earlier predictions there are replaced: ``check_output`` has seen that it holds nothing else.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = folder if folder.is_dir() else folder.parent  # a folder may be ours to write to where its parent is not
    draft = Path(mkdtemp(prefix=f".{folder.name}.", dir=place))
    try:
        with naming(folder, draft):
            writer = Writer(draft, form, overlay)
            try:
                yield writer
            finally:
                writer.close()
            folder.mkdir(exist_ok=True)
            for name in OURS:
                _remove(folder / name)
                if (draft / name).exists():
                    (draft / name).rename(folder / name)
    finally:
        remove(draft)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    with suppress(FileNotFoundError):
        path.unlink()
