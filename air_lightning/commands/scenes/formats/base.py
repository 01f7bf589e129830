"""What a format does."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from air_lightning.commands.formats.pictures import save_array, save_png
from air_lightning.commands.scenes.scene import Facts, Scene

Row = dict[str, Any]


class Format(ABC):
    """Writes scenes into a folder, in an order of their own: each one's files, and at the end what tells of all.

    The same scenes give the same bytes. A scene may be written twice, of which only the second time counts.

    Args:
        folder: to write into. scratch: a folder for what lasts until ``finish``. facts: of the scenes.
        bits: 8: images are PNG; 32: they are `.npy` of the values as they are drawn, float32 (H, W, C).
    Errors:
        ValueError where it cannot hold what is known of the scenes.
    """

    name: ClassVar[str]
    usual_bits: ClassVar[int] = 8

    def __init__(self, folder: Path, scratch: Path, facts: Facts, bits: int) -> None:
        self.folder, self.scratch, self.facts, self.bits = folder, scratch, facts, bits
        channels = facts.image_shape[0]
        if channels not in (1, 3):
            raise ValueError(f"images are written grey (1 channel) or RGB (3), {facts.data}'s have {channels}")
        self.check()

    @abstractmethod
    def check(self) -> None:
        """ValueError where the format cannot hold the scenes."""

    @abstractmethod
    def add(self, scene: Scene) -> Row:
        """Write a scene's own files; what ``finish`` is to have of it, as JSON has it."""

    @abstractmethod
    def finish(self, rows: Iterable[Row]) -> None:
        """Write what tells of all scenes. ``rows``: those of ``add``, in order; they can be read more than once."""

    def _save_image(self, path: Path, scene: Scene) -> str:
        """Write an image beside a path that has no suffix; its file's name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.bits == 32:
            save_array(file := path.with_suffix(".npy"), scene.image.transpose(1, 2, 0))
        else:
            save_png(file := path.with_suffix(".png"), scene.image)
        return file.name
