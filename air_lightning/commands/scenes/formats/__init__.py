"""The formats, one a file."""

from air_lightning.commands.scenes.formats.base import Format
from air_lightning.commands.scenes.formats.bop import BOP
from air_lightning.commands.scenes.formats.clevr import CLEVR
from air_lightning.commands.scenes.formats.coco import COCO
from air_lightning.commands.scenes.formats.hdf5 import HDF5
from air_lightning.commands.scenes.formats.png import PNG

FORMATS: dict[str, type[Format]] = {form.name: form for form in (PNG, COCO, CLEVR, BOP, HDF5)}

__all__ = ["FORMATS", "Format"]
