"""What a format of predictions does."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from air_lightning.commands.predict.records import Prediction
from renderers.base import Renderer
from renderers.spaces import Categorical

Row = dict[str, Any]
OVERLAYS = "overlays"
LONGEST = 60
"""Characters of a file's name that its own pictures have too: file systems allow 255 bytes, four a character."""


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


class Format(ABC):
    """Writes predictions into a folder, one image after another.

    Args:
        renderer: the model's. files: all that are read, in order.
    Errors:
        ValueError where it cannot hold what the model says.
    """

    name: ClassVar[str]
    file: ClassVar[str]
    """What it writes, in the output folder."""
    folders: ClassVar[tuple[str, ...]] = ()
    """What it writes besides."""
    segmented: ClassVar[bool] = False
    """Whether objects are to have their segmentation."""

    def __init__(self, renderer: Renderer, files: Sequence[Path]) -> None:
        self.renderer = renderer
        self.identities = renderer.what.names if isinstance(renderer.what, Categorical) else None
        self.notes: list[str] = []
        """What users should know of the output."""

    @staticmethod
    @abstractmethod
    def pictures(folder: Path) -> Iterable[str]:
        """The pictures of the predictions that an earlier one has written there, by their paths in the folder."""

    @abstractmethod
    def open(self, folder: Path) -> None:
        """Begin, in an empty folder."""

    @abstractmethod
    def add(self, number: int, source: Source, row: Row, prediction: Prediction) -> None:
        """Write what was seen in an image. ``number``: 0 for the first. ``row``: its file, and its overlay if any."""

    @abstractmethod
    def close(self) -> None:
        """Write what is written at the end."""


def picture_name(number: int, source: Source) -> str:
    """A name that no other image's pictures have."""
    return f"{number:06d}_{source.file.stem[:LONGEST]}.png"


def listed(rows: Iterable[Row]) -> Iterator[str]:
    """The pictures that rows tell of."""
    return (row[name] for row in rows for name in ("overlay", "mask") if name in row)
