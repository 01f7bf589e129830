"""The formats, one a file."""

from air_lightning.commands.predict.formats.base import OVERLAYS, Format, Source, picture_name
from air_lightning.commands.predict.formats.bop import BOP
from air_lightning.commands.predict.formats.coco import COCO
from air_lightning.commands.predict.formats.jsonl import JSONLines
from air_lightning.commands.predict.formats.masks import Masks

FORMATS: dict[str, type[Format]] = {form.name: form for form in (JSONLines, COCO, BOP, Masks)}

__all__ = ["FORMATS", "OVERLAYS", "Format", "Source", "picture_name"]
