"""What lies behind all objects, as plug-ins: one layer below the first slot, the same for all counts."""

from air_lightning.backgrounds.base import Backdrop, Background, NoBackground
from air_lightning.backgrounds.coded import CodedBackground
from air_lightning.backgrounds.eigen import EigenBackground
from air_lightning.backgrounds.image_file import ImageFileBackground
from air_lightning.backgrounds.learnt import LearntBackground
from air_lightning.backgrounds.median import MedianBackground
from air_lightning.backgrounds.polynomial import PolynomialBackground

__all__ = [
    "Backdrop",
    "Background",
    "CodedBackground",
    "EigenBackground",
    "ImageFileBackground",
    "LearntBackground",
    "MedianBackground",
    "NoBackground",
    "PolynomialBackground",
]
