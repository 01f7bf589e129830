"""The formats, one a file."""

from air_lightning.commands.predict.formats.base import Format, Source
from air_lightning.commands.predict.formats.bop import BOP
from air_lightning.commands.predict.formats.coco import COCO
from air_lightning.commands.predict.formats.jsonl import JSONLines
from air_lightning.commands.predict.formats.masks import Masks, picture_name

FORMATS: dict[str, type[Format]] = {form.name: form for form in (JSONLines, COCO, BOP, Masks)}

__all__ = ["FORMATS", "Format", "Source", "picture_name"]
